"""Slow, obvious twins of fast code: each says in plain loops what its fast counterpart must return."""

import datetime as dt
import itertools
import json
import math
import statistics
from pathlib import Path

import numpy as np
import torch
from scipy import stats

# --- detection: mean shift, alarms ---------------------------------------------------------------------------------


def mean_shift_expected(past, variant, *, window=100, forgetting=0.99, warmup=30):
    """Mean and deviation that the next value is judged by, from the list of all values before it (NaN = missing)."""
    if variant == "windowed":
        past = past[-window:]
    present = [x for x in past if not math.isnan(x)]
    if len(present) < warmup:
        return math.nan, math.nan
    weights = [forgetting**age if variant == "recursive" else 1.0 for age in reversed(range(len(present)))]
    mean = math.fsum(w * x for w, x in zip(weights, present, strict=True)) / math.fsum(weights)
    square = math.fsum(w * (x - mean) ** 2 for w, x in zip(weights, present, strict=True)) / math.fsum(weights)
    return mean, math.sqrt(square)


def mean_shift_scores(history, values, variant, *, floor=0.01, warmup=30, **settings):
    """Scores of one entity's and metric's values (a list), which come right after its history (a list)."""
    present = [x for x in history if not math.isnan(x)]
    level = sum(present) / len(present)
    spread = math.sqrt(sum((x - level) ** 2 for x in present) / len(present))
    smallest = floor * (spread if spread > 1e-9 * abs(level) else abs(level) or 1.0)
    scores = []
    for t, x in enumerate(values):
        past = list(history) if variant == "global" else [*history, *values[:t]]
        mean, deviation = mean_shift_expected(past, variant, warmup=warmup, **settings)
        scores.append(abs(x - mean) / max(deviation, smallest) if not math.isnan(deviation) else math.nan)
    return scores


def raise_alarms(rows, threshold, *, merge=0.0, minimum_duration=0.0, refractory=0.0):
    """Alarms of one entity's rows (seconds, score), as they would be raised live: (start, end, peak, suppressed)."""
    alarms, latest, latest_row = [], None, None
    for number, (second, score) in enumerate(rows):
        if not score > threshold:
            continue
        if latest is None or not (latest_row == number - 1 or second - latest <= merge):
            first, raised, peak = second, None, -math.inf
        latest, latest_row, peak = second, number, max(peak, score)
        if raised is not None:
            alarms[raised] = (alarms[raised][0], second, peak, alarms[raised][3])
        spoken = [end for _, end, _, suppressed in alarms if not suppressed]
        silent = bool(refractory and spoken and second <= spoken[-1] + refractory)
        if second - first >= minimum_duration and (raised is None or (alarms[raised][3] and not silent)):
            raised = len(alarms)
            alarms.append((second, second, peak, silent))
    return alarms


# --- evaluation: spans, events, ranking, NAB ------------------------------------------------------------------------


def announced(scores, rows, stronger):
    """Scores of one entity that say something new, 0 for the others."""
    kept = []
    for i, score in enumerate(scores):
        said = [(j, s) for j, s in enumerate(kept) if s > 0]
        new = score > 0 and (not said or i - said[-1][0] >= rows or score > stronger * said[-1][1])
        kept.append(float(score) if new else 0.0)
    return kept


def flags_to_intervals(rows, max_gap=None):
    """Intervals of rows (entity, seconds, flag): lists of [entity, start, end]."""
    intervals, before = [], None
    for entity, second, flag in rows:
        if flag:
            joins = before is not None and before[0] == entity and before[2]
            if joins and (max_gap is None or second - before[1] <= max_gap):
                intervals[-1][2] = second
            else:
                intervals.append([entity, second, second])
        before = (entity, second, flag)
    return intervals


def match_events(alarms, events, *, early=0, late=0, match="overlap"):
    """Delay of each event (None: missed) and whether each alarm is true; all are (entity, start, end) in seconds."""

    def finds(alarm, event):
        until = alarm[1] if match == "start" else alarm[2]
        return alarm[0] == event[0] and alarm[1] <= event[2] + late and until >= event[1] - early

    delays = []
    for event in events:
        begun = [alarm[1] for alarm in alarms if finds(alarm, event)]
        delays.append(max(min(begun) - event[1], 0) if begun else None)
    return delays, [any(finds(alarm, event) for event in events) for alarm in alarms]


def lead_times(alarms, faults, first, longest, match="overlap"):
    """(possible, lead, censored) of each impact; alarms (entity, start, end), faults (entity, impact, recovery), s."""
    answers = []
    for entity, impact, _ in faults:
        ends = [until for other, start, until in faults if other == entity and start < impact]
        begin = max([impact - longest, first[entity], *ends])
        if begin > impact:
            answers.append((None, None, False))
            continue
        starts = [
            start
            for other, start, end in alarms
            if other == entity and start <= impact and (start if match == "start" else end) >= begin
        ]
        earliest = max(min(starts), begin) if starts else None
        answers.append((impact - begin, impact - earliest if starts else None, bool(starts) and earliest == begin))
    return answers


def seconds_of(spans, events, alarms):
    """Observed, unlabelled, and unlabelled seconds in alarm; intervals (entity, start, end), whole s, end exclusive."""

    def held(entity, second, intervals):
        return any(entity == e and start <= second < end for e, start, end in intervals)

    seen = {(entity, second) for entity, start, end in spans for second in range(start, end)}
    free = {moment for moment in seen if not held(*moment, events)}
    return len(seen), len(free), sum(held(*moment, alarms) for moment in free)


def average_precision(scores, labels, weights=None):
    """Sum over falling thresholds of precision times the recall that is added; NaN ranks last."""
    scores = [-math.inf if math.isnan(score) else score for score in scores]
    weights = weights or [1] * len(scores)
    rows = list(zip(scores, labels, weights, strict=True))
    total = sum(weight for _, label, weight in rows if label)
    area = recall_before = 0.0
    for threshold in sorted(set(scores), reverse=True):
        flagged = [(label, weight) for score, label, weight in rows if score >= threshold]
        hits = sum(weight for label, weight in flagged if label)
        if hits:
            recall = hits / total
            area += (recall - recall_before) * hits / sum(weight for _, weight in flagged)
            recall_before = recall
    return area


def vus(scores, labels, window):
    """VUS-PR and VUS-ROC of arrays, each width and each threshold from all rows anew."""
    n = len(scores)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    falling = np.sort(scores)[::-1]
    edges = np.diff(np.concatenate([[0], labels.astype(int), [0]]))
    segments = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))
    areas = []
    for w in range(window + 1):
        half = w // 2
        soft = labels.astype(float)
        widened = []
        for start, end in segments:
            before, after = np.arange(max(start - half, 0), start), np.arange(end + 1, min(end + half, n - 1) + 1)
            soft[before] += np.sqrt(1 - (start - before) / w) if half else 0
            soft[after] += np.sqrt(1 - (after - end) / w) if half else 0
            if widened and start - half <= widened[-1][1]:
                widened[-1][1] = end + half
            else:
                widened.append([start - half, end + half])
        soft = np.minimum(soft, 1)
        tpr, fpr, precision = [0.0], [0.0], []
        for place in np.linspace(0, n - 1, 250).astype(int):
            predicted = scores >= falling[place]
            hits = soft[predicted].sum()
            total = (labels.sum() + labels.sum() + soft[predicted & ~labels].sum()) / 2
            found = [predicted[max(start, 0) : end + 1].any() for start, end in widened]
            tpr.append(min(hits / total, 1) * sum(found) / len(found))
            fpr.append((predicted.sum() - hits) / (n - total))
            precision.append(hits / predicted.sum())
        pr = sum((tpr[k + 1] - tpr[k]) * precision[k] for k in range(250))
        areas.append((pr, np.trapezoid([*tpr, 1.0], [*fpr, 1.0])))
    return tuple(float(area) for area in np.mean(areas, axis=0))


def ranges_of(flags):
    """Runs of true flags as lists of positions."""
    runs = []
    for i, flag in enumerate(flags):
        if flag and i and flags[i - 1]:
            runs[-1].append(i)
        elif flag:
            runs.append([i])
    return runs


def range_reward(own, others, alpha, bias, cardinality):
    """Reward of a range (a list of positions) for the ranges that overlap it (Tatbul et al. 2018)."""
    delta = {
        "flat": lambda i, n: 1,
        "front": lambda i, n: n - i + 1,
        "back": lambda i, n: i,
        "middle": lambda i, n: i if i <= n / 2 else n - i + 1,
    }[bias]
    weights = {position: delta(i, len(own)) for i, position in enumerate(own, start=1)}
    touching = [other for other in others if set(own) & set(other)]
    overlap = sum(weights[p] for other in touching for p in other if p in weights) / sum(weights.values())
    factor = 1 if len(touching) <= 1 or cardinality == "one" else 1 / len(touching)
    return alpha * bool(touching) + (1 - alpha) * factor * overlap


def affiliation(alarms, events, begin, end, n=200):
    """Affiliation precision and recall of each event; disjoint intervals (start, end), integrals as sums of n parts."""

    def middles(start, stop):
        return start + (np.arange(n) + 0.5) * (stop - start) / n

    def distance(points, intervals):
        return np.min([np.maximum(np.maximum(a - points, points - b), 0) for a, b in intervals], axis=0)

    borders = [begin, *((one[1] + other[0]) / 2 for one, other in itertools.pairwise(events)), end]
    scores = []
    for event, a, b in zip(events, borders[:-1], borders[1:], strict=True):
        mine = [(max(p, a), min(q, b)) for p, q in alarms if min(q, b) > max(p, a)]
        if not mine:
            scores.append((math.nan, 0.0))
            continue
        zone = middles(a, b)
        alarmed = np.concatenate([middles(*alarm) for alarm in mine])
        lengths = np.repeat([q - p for p, q in mine], n)
        chances = [(distance(zone, [event]) >= distance(x[None], [event])).mean() for x in alarmed]
        recalls = [(np.abs(zone - y) >= distance(y[None], mine)).mean() for y in middles(*event)]
        scores.append((np.average(chances, weights=lengths), np.mean(recalls)))
    return scores


def nab_raw(files, threshold, tp, fn, fp):
    """Raw NAB score of files [(seconds, scores, windows)] at a threshold: (raw, hits, windows, false-alarm rows)."""

    def sigmoid(y):
        return -1.0 if y > 3 else 2 / (1 + math.exp(5 * y)) - 1

    raw, hits, hittable, false = 0.0, 0, 0, 0
    for seconds, scores, windows in files:
        probation = min(math.floor(0.15 * len(seconds)), 750)
        places = []
        for start, end in sorted(windows):
            rows = [i for i in range(len(seconds)) if start <= seconds[i] <= end]
            if rows:
                places.append((rows[0], rows[-1]))
        for a, b in places:
            judged = [i for i in range(a, b + 1) if i >= probation]
            found = [i for i in judged if scores[i] >= threshold]
            hittable += bool(judged)
            hits += bool(found)
            if found:
                raw += max(tp * sigmoid(-(b - i + 1) / (b - a + 1)) / sigmoid(-1) for i in found)
            elif judged:
                raw -= fn
        for i in range(probation, len(seconds)):
            if scores[i] >= threshold and not any(a <= i <= b for a, b in places):
                before = [(a, b) for a, b in places if b < i]
                if before and before[-1][1] > before[-1][0]:
                    a, b = before[-1]
                    raw += fp * sigmoid((i - b) / (b - a))
                else:
                    raw -= fp
                false += 1
    return raw, hits, hittable, false


def nab_score(files, tp, fn, fp):
    """NAB score at the best threshold over all distinct scores: (value, threshold, hits, false-alarm rows)."""
    distinct = {score for _, scores, _ in files for score in scores if not math.isnan(score)}
    best = None
    for threshold in [math.inf, *sorted(distinct, reverse=True)]:
        raw, hits, windows, false = nab_raw(files, threshold, tp, fn, fp)
        if best is None or raw > best[0] + 1e-12:
            best = (raw, threshold, hits, false)
    null, perfect = -fn * windows, tp * windows
    return 100 * (best[0] - null) / (perfect - null), *best[1:]


def gaussian_tail(values, window, step):
    """Numenta's Windowed Gaussian of one list of values: each judged by the mean and deviation of those before."""
    scores, held, waiting, mean, deviation = [], [], [], 0.0, 1.0
    for x in values:
        if math.isnan(x):
            scores.append(math.nan)
            continue
        scores.append(1 - 0.5 * math.erfc(abs(x - mean) / deviation / math.sqrt(2)) if held else 0.0)
        if len(held) < window:
            held.append(x)
        else:
            waiting.append(x)
            if len(waiting) < step:
                continue
            held, waiting = held[step:] + waiting, []
        mean = held[0] if len(set(held)) == 1 else math.fsum(held) / len(held)
        deviation = math.sqrt(math.fsum((y - mean) ** 2 for y in held) / len(held)) or 0.000001
    return scores


# --- telemetry: grid, rates, quality --------------------------------------------------------------------------------


def on_grid(samples, step, how="mean"):
    """One entity's samples (second, value; NaN = missing) as {grid second: value}, the row at g from (g - step, g]."""
    if not samples:
        return {}
    bins = {}
    for second, value in samples:
        bins.setdefault(math.ceil(second / step) * step, []).append(value)
    grid, point = {}, min(bins)
    while point <= max(bins):
        present = [value for value in bins.get(point, []) if not math.isnan(value)]
        if not present:
            grid[point] = math.nan
        elif how == "mean":
            grid[point] = math.fsum(present) / len(present)
        elif how == "last":
            grid[point] = present[-1]
        elif how == "sum":
            grid[point] = math.fsum(present)
        point += step
    return grid


def hold(values, steps):
    """Values with each gap filled from the value before it, for so many steps."""
    held = list(values)
    for i, value in enumerate(values):
        if math.isnan(value):
            for back in range(1, steps + 1):
                if i - back >= 0 and not math.isnan(values[i - back]):
                    held[i] = values[i - back]
                    break
    return held


def close_gaps(values, steps, counter=False):
    """Values with each inner gap of at most so many steps closed by a straight line, but not over a counter's reset."""
    closed = list(values)
    for i, value in enumerate(values):
        if math.isnan(value):
            left = next((k for k in range(i - 1, -1, -1) if not math.isnan(values[k])), None)
            right = next((k for k in range(i + 1, len(values)) if not math.isnan(values[k])), None)
            if left is None or right is None or right - left - 1 > steps:
                continue
            if counter and values[right] < values[left]:
                continue
            closed[i] = values[left] + (values[right] - values[left]) * (i - left) / (right - left)
    return closed


def counter_rate(samples, max_gap=math.inf):
    """Increase per second of one entity's counter (second, value; NaN = missing) since the sample before."""
    rates, before = [], None
    for second, value in samples:
        if math.isnan(value):
            rates.append(math.nan)
            continue
        if before is None or second - before[0] > max_gap:
            rates.append(math.nan)
        else:
            increase = value if value < before[1] else value - before[1]
            rates.append(increase / (second - before[0]))
        before = (second, value)
    return rates


def missing_steps(seconds, step, begin, end):
    """Grid points of a series from begin to end, and those of them at which no sample is."""
    points = list(range(begin, end + 1, step))
    return points, [point for point in points if point not in set(seconds)]


def longest_run(values):
    """Length of the longest run of equal values."""
    longest = run = 0
    for i, value in enumerate(values):
        run = run + 1 if i and value == values[i - 1] else 1
        longest = max(longest, run)
    return longest


# --- decomposition: periods, strength, the causal filter --------------------------------------------------------------


def autocorrelation(values):
    """Mean product of the pairs at each lag over those that exist (NaN = missing), 1 at lag 0."""
    present = [x for x in values if not math.isnan(x)]
    mean = sum(present) / len(present)
    means = []
    for lag in range(len(values)):
        pairs = [
            (values[i] - mean) * (values[i + lag] - mean)
            for i in range(len(values) - lag)
            if not math.isnan(values[i]) and not math.isnan(values[i + lag])
        ]
        means.append(sum(pairs) / len(pairs) if pairs else 0.0)
    return [value / means[0] for value in means]


def agreement(cycles):
    """Mean product of two different cycles over the mean square of one; cycles are lists of equal length."""
    products = [
        sum(a * b for a, b in zip(one, other, strict=True))
        for i, one in enumerate(cycles)
        for j, other in enumerate(cycles)
        if i != j
    ]
    squares = [sum(a * a for a in one) for one in cycles]
    return (sum(products) / len(products)) / (sum(squares) / len(squares))


def strength(component, resid):
    """1 - Var(R) / Var(C + R), at least 0; lists with the same values missing (NaN)."""

    def variance(numbers):
        mean = math.fsum(numbers) / len(numbers)
        return math.fsum((x - mean) ** 2 for x in numbers) / len(numbers)

    pairs = [(c, r) for c, r in zip(component, resid, strict=True) if not math.isnan(r)]
    return max(0.0, 1 - variance([r for _, r in pairs]) / variance([c + r for c, r in pairs]))


def causal_filter(rows, *, level, scale, last, origin, memory, seasons, clip=3.0):
    """Trend, season and residual of rows (microsecond, value), each as predicted before the value was seen.

    `seasons` are dicts of period (microseconds), knots (list) and rate; the lists are changed in place.
    """
    answers = []
    for now, value in rows:
        if math.isnan(value):
            answers.append((math.nan, math.nan, math.nan))
            continue
        weights = []  # of the knots of each season at this phase
        for season in seasons:
            count = len(season["knots"])
            place = ((now - origin) % season["period"]) * count / season["period"]
            left = math.floor(place) % count
            weights.append({left: 1 - (place - math.floor(place))})
            weights[-1][(left + 1) % count] = place - math.floor(place)
        parts = [sum(w * s["knots"][k] for k, w in ws.items()) for s, ws in zip(seasons, weights, strict=True)]
        if math.isnan(level):
            level, last = value - sum(parts), now
            answers.append((math.nan, math.nan, math.nan))
            continue
        means = [sum(season["knots"]) / len(season["knots"]) for season in seasons]
        error = value - level - sum(parts)
        answers.append((level + sum(means), sum(parts) - sum(means), error))
        bound = clip * scale if scale > 0 else math.inf
        learnt = max(-bound, min(bound, error))
        deviation = math.sqrt(math.pi / 2) * abs(learnt)
        gain = 1 - math.exp(-(now - last) / 1e6 / memory)
        level, last = level + gain * learnt, now
        scale = scale + gain * (deviation - scale) if scale > 0 else deviation
        for season, ws in zip(seasons, weights, strict=True):
            for knot, weight in ws.items():
                season["knots"][knot] += season["rate"] * weight * learnt
    return answers


# --- simulation: service levels, impacts, queues ---------------------------------------------------------------------


def broken_samples(rows, error_ratio, latency, quality=None):
    """Whether the service level is broken at each (requests, errors, p99, good): two counters, s, share (NaN: none)."""
    bad, known, missing = [], None, []
    for requests, errors, p99, good in rows:
        if math.isnan(requests):
            missing.append(len(bad))
            bad.append(p99 > latency or (quality is not None and good < quality))
            continue
        grown, failed = math.nan, math.nan
        if known is not None:
            restarted = requests < known[0]
            for place in missing if restarted else []:  # the gap was the process's, not the exporter's
                bad[place] = True
            grown = requests if restarted else requests - known[0]
            failed = errors if errors < known[1] else errors - known[1]
        poor = quality is not None and good < quality
        bad.append(p99 > latency or poor or (grown > 0 and failed / grown > error_ratio))
        known, missing = (requests, errors), []
    return bad


def impact(seconds, bad, begin, end, shortest):
    """First second of runs of `shortest` bad samples that start in begin..end, and the one after the last."""
    first = after = None
    k = 0
    while k < len(bad):
        length = 0
        while k + length < len(bad) and bad[k + length]:
            length += 1
        if length >= shortest and begin <= seconds[k] <= end:
            first = seconds[k] if first is None else first
            after = seconds[k + length] if k + length < len(bad) else math.inf
        k += max(length, 1)
    return first, after


def queue(arrivals, rates, longest, step):
    """Requests waiting at the end of each sample, and the share of its arrivals that found no place."""
    waiting, level, shed = [], 0.0, []
    for arriving, rate in zip(arrivals, rates, strict=True):
        level = max(level + (arriving - rate) * step, 0.0)
        refused = max(level - longest, 0.0)
        level -= refused
        waiting.append(level)
        shed.append(refused / (arriving * step) if arriving > 0 else 0.0)
    return waiting, shed


# --- evaluation: probabilities ---------------------------------------------------------------------------------------


def pool_adjacent_violators(forecasts, outcomes):
    """Isotonic regression of outcomes on forecasts: for each case the rate of the block that it was pooled into."""
    blocks = []  # forecasts, cases, came true
    for forecast in sorted(set(forecasts)):
        came = [y for p, y in zip(forecasts, outcomes, strict=True) if p == forecast]
        blocks.append([{forecast}, len(came), sum(came)])
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][1] >= blocks[-1][2] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [blocks[-1][0] | last[0], blocks[-1][1] + last[1], blocks[-1][2] + last[2]]
    return [next(came / size for held, size, came in blocks if p in held) for p in forecasts]


def brier(forecasts, outcomes):
    """Mean squared difference."""
    return math.fsum((p - y) ** 2 for p, y in zip(forecasts, outcomes, strict=True)) / len(forecasts)


def calibration_error(forecasts, outcomes):
    """Expected calibration error over ten equally wide bins."""
    error = 0.0
    for number in range(10):
        pairs = [(p, y) for p, y in zip(forecasts, outcomes, strict=True) if min(math.floor(p * 10), 9) == number]
        if pairs:
            rate, mean = (sum(part) / len(pairs) for part in (list(zip(*pairs, strict=True))[1], [p for p, _ in pairs]))
            error += len(pairs) / len(forecasts) * abs(rate - mean)
    return error


# --- records: templates ----------------------------------------------------------------------------------------------


def drain(lines, similarity, depth):
    """Groups of log lines by Drain, without a tree: every group is looked at for every line."""
    groups, found = [], []
    for line in lines:
        words = line.split()
        place = (len(words), *("<*>" if any(c in "0123456789<" for c in word) else word for word in words[:depth]))
        best, most = None, None
        for number, (other, template) in enumerate(groups):
            if other != place:
                continue
            score = (sum(a == b for a, b in zip(template, words, strict=True)) / len(words), template.count("<*>"))
            if score[0] >= similarity and (most is None or score > most):
                best, most = number, score
        if best is None:
            best = len(groups)
            groups.append((place, words))
        other, template = groups[best]
        groups[best] = (other, [a if a == b else "<*>" for a, b in zip(template, words, strict=True)])
        found.append(best)
    return found, [" ".join(template) for _, template in groups]


# --- noise ----------------------------------------------------------------------------------------------------------


def denoised(samples, method, width, deviations=3.0):
    """[(second, value)] of one entity in order -> values by the causal filter (NaN = missing)."""
    result = []
    for at, (now, value) in enumerate(samples):
        past = [(now - then, x) for then, x in samples[: at + 1] if not math.isnan(x)]
        near = sorted(x for age, x in past if age < width)
        if math.isnan(value):
            result.append(math.nan)
        elif method == "mean":
            weights = [math.exp(-age / width) for age, _ in past]
            result.append(math.fsum(w * x for w, (_, x) in zip(weights, past, strict=True)) / math.fsum(weights))
        else:
            middle = statistics.median(near)
            spread = 1.4826 * statistics.median([abs(x - middle) for x in near])
            far = len(near) >= 3 and abs(value - middle) > deviations * spread
            result.append(middle if method == "median" or far else value)
    return result


# --- the testbed's panel ----------------------------------------------------------------------------------------------


def recent_increments(rows, window=10):
    """Rows, a second apart, of counters {name: value} (None = no sample) -> what was added in the trailing window."""
    result = []
    for t, now in enumerate(rows):
        seen = [row for row in rows[max(0, t - window) : t + 1] if row is not None]
        if now is None or len(seen) < 2:
            result.append(None)
            continue
        added = dict.fromkeys(now, 0.0)
        for before, after in itertools.pairwise(seen):
            restarted = any(after[name] < before[name] for name in now)
            for name in now:
                added[name] += after[name] - (0 if restarted else before[name])
        result.append(added)
    return result


def bucket_quantile(q, counts):
    """Quantile of cumulative counts {upper bound: count}, as Prometheus interpolates; NaN without a request."""
    bounds = sorted(counts)
    if not counts[math.inf] > 0:
        return math.nan
    rank, lower, below = q * counts[math.inf], 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= rank:
            return lower if bound == math.inf else lower + (bound - lower) * (rank - below) / (counts[bound] - below)
        lower, below = bound, counts[bound]
    raise AssertionError("the last bucket holds every request")


# --- testbed: the load log, service level, what users felt ------------------------------------------------------------


def tallied(events):
    """{(second, replica): [answered, failed, slow, wrong, waits]} of (now, replica, waited, wrong or None: failed)."""
    counts, latest = {}, 0
    for now, replica, waited, wrong in events:
        latest = max(latest, int(now))
        for name in (replica, "all"):
            row = counts.setdefault((latest, name), [0, 0, 0, 0, []])
            row[0] += wrong is not None
            row[1] += wrong is None
            row[2] += wrong is not None and waited > 0.25
            row[3] += wrong is True
            row[4].append(waited)
    return counts


def level_broken(rows, *, slow, failed, wrong, window, wrong_window, minimum):
    """(failed, slow, wrong) at each second of (answered, failed, slow, wrong), one entity's."""
    said = []
    for k in range(len(rows)):
        answered, lost, late, _ = (sum(column) for column in zip(*rows[max(k - window + 1, 0) : k + 1], strict=True))
        judged, _, _, mistaken = (
            sum(column) for column in zip(*rows[max(k - wrong_window + 1, 0) : k + 1], strict=True)
        )
        said.append(
            (
                answered + lost >= minimum and lost > failed * (answered + lost),
                answered >= minimum and late > slow * answered,
                judged >= minimum and mistaken > wrong * judged,
            )
        )
    return said


def felt(bad, begin, end):
    """Impact and recovery (s, None: unknown) of a cause from begin to end; bad[k] says whether second k is bad."""
    start = None
    for k in range(len(bad) - 1):
        fresh = bad[k] and bad[k + 1] and not (k and bad[k - 1])
        if start is None and fresh and k + 1 > begin and k <= end + 5:
            start = max(k, begin)
    since = end if start is None else max(start, end)
    for k in range(len(bad) - 4):
        if k + 1 > since and not any(bad[k : k + 5]):
            return start, max(k, since)
    return start, None


def variance_score(values, test, window, reference):
    """Evidence for another variance of the last values than of those before, value by value."""
    known, scores = [], []
    for x in values:
        if math.isnan(x):
            scores.append(math.nan)
            continue
        known.append(x)
        if len(known) < window + reference:
            scores.append(math.nan)
            continue
        new, old = np.array(known[-window:]), np.array(known[-window - reference : -window])
        if test == "levene":
            p = stats.levene(new, old, center="mean").pvalue
        else:
            ratio = new.var(ddof=1) / old.var(ddof=1)
            law = stats.f(window - 1, reference - 1)
            p = 2 * min(law.sf(ratio), law.cdf(ratio))
        scores.append(max(-math.log10(min(p, 1.0)), 0.0) if p > 0 else 300.0)
    return scores


def cusum(values, mean, deviation, *, running=False, slack=0.5, clip=5.0):
    """Larger of the two cumulative sums."""
    seen, above, below, scores = [], 0.0, 0.0, []
    for x in values:
        if math.isnan(x):
            scores.append(math.nan)
            continue
        centre = mean
        if running:
            centre = sum(seen) / len(seen) if seen else x
        z = max(-clip, min(clip, (x - centre) / deviation))
        seen.append(centre + z * deviation)
        above, below = max(0.0, above + z - slack), max(0.0, below - z - slack)
        scores.append(max(above, below))
    return scores


def left_profile(values, deviation, window, memory):
    """Distance of the last values from the nearest earlier ones that do not overlap them."""
    known, scores = [], []
    for x in values:
        if math.isnan(x):
            scores.append(math.nan)
            continue
        known.append(x)
        n = len(known)
        own = np.array(known[n - window :])
        lags = [lag for lag in range(window, memory + 1) if n - lag >= window]
        gaps = [((own - np.array(known[n - lag - window : n - lag])) ** 2).sum() for lag in lags]
        scores.append(math.sqrt(min(gaps) / (2 * window)) / deviation if gaps else math.nan)
    return scores


def run_length_posterior(z, hazard, prior_weight=0.1):
    """Adams and MacKay: P(run length) after each value; every run keeps its values and is judged from them."""
    runs = [(1.0, [])]
    found = []
    for x in z:
        judged = []
        for p, own in runs:
            n, mean = len(own), (sum(own) / len(own) if own else 0.0)
            squares = sum((y - mean) ** 2 for y in own)
            weight, degrees = prior_weight + n, 2.0 + n
            spread = (2.0 + squares + prior_weight * n * mean**2 / weight) / degrees
            middle, width = n * mean / weight, math.sqrt(spread * (weight + 1) / weight)
            judged.append((p * stats.t.pdf(x, degrees, middle, width), own))
        total = sum(p for p, _ in judged)
        runs = [(hazard, []), *(((1 - hazard) * p / total, [*own, x]) for p, own in judged)]
        found.append([p for p, _ in runs])
    return found


def novelty_of(channel, known, apart, warmup, least=0.0, cap=3.0):
    """Mean log ratio of each value of a channel over the largest separate events before it."""
    events, scores = [], []  # (value, at), largest first
    for now, v in enumerate(channel):
        top = [value for value, _ in events] + [0.0] * (known - len(events))
        found = 0.0
        if now >= warmup and v > least:
            for t in top:
                if v > t:
                    floor = max(t, least)
                    found += min(math.log(v / floor), cap) if floor > 0 else cap
        scores.append(found / known if v > top[-1] else 0.0)
        if v > top[-1]:
            near = [k for k, (_, at) in enumerate(events) if now - at <= apart]
            if any(v <= events[k][0] for k in near):
                continue
            if near:
                del events[near[-1]]
            events = sorted([*events, (v, now)], key=lambda event: -event[0])[:known]
    return scores


def arima_misses(values, ar, ma, differenced, mean):
    """Misses of one-step predictions of an ARIMA process; a missing value counts as predicted."""
    told, level, w, e, misses = False, None, [], [], []
    for x in values:
        if not told:
            misses.append(math.nan)
            if not math.isnan(x):
                told, level = True, x
                w = [] if differenced else [x - mean]
            continue
        predicted = mean + sum(c * v for c, v in zip(ar, reversed(w), strict=False))
        predicted += sum(c * v for c, v in zip(ma, reversed(e), strict=False))
        base = level if differenced else 0.0
        if math.isnan(x):
            misses.append(math.nan)
            w, e, level = [*w, predicted - mean], [*e, 0.0], base + predicted
        else:
            misses.append(x - base - predicted)
            w, e, level = [*w, x - base - mean], [*e, misses[-1]], x
    return misses


class Cut:
    """Windows of rows, cut out one by one: what a `DataLoader` is usually given."""

    def __init__(self, values, first, length):
        self.values, self.first, self.length = torch.from_numpy(np.asarray(values, dtype="float32")), first, length

    def __len__(self):
        return len(self.first)

    def __getitem__(self, number):
        return self.values[self.first[number] : self.first[number] + self.length]


def train_epoch(net, loss, loader, optimizer, clip=1.0, rates=None):
    """The usual loop: a step for each batch of a loader."""
    device = next(net.parameters()).device
    for number, windows in enumerate(loader):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[number]
        optimizer.zero_grad()
        loss(net, windows.to(device)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()


def burn(good, total, width, target):
    """Burn rate of an error budget over the last so many rows, row by row."""
    rates = []
    for row in range(len(good)):
        first = max(0, row - width + 1)
        asked, served = sum(total[first : row + 1]), sum(good[first : row + 1])
        rates.append((asked - served) / asked / (1 - target) if asked else math.nan)
    return rates


def down_seconds(spans, begin, end):
    """Whole seconds at which at least one fault was felt; an end that nobody knows has not come."""
    return {
        second for second in range(begin, end) if any(a <= second and (math.isnan(b) or second < b) for a, b in spans)
    }


def is_up(structure, states):
    """Whether a whole is up while its parts are up or down."""
    if structure.part:
        return states[structure.part]
    return sum(is_up(one, states) for one in structure.members) >= structure.k


def structure_availability(structure, parts):
    """Availability of a whole: the chance of each state of all parts, added up where the whole is up."""
    names, whole = structure.parts(), 0.0
    for states in itertools.product((False, True), repeat=len(names)):
        chance = math.prod(parts[n] if up else 1 - parts[n] for n, up in zip(names, states, strict=True))
        whole += chance * is_up(structure, dict(zip(names, states, strict=True)))
    return whole


def simulated_availability(structure, laws, length, rng):
    """Share of a simulated time in which the whole is up; parts fail and are repaired at constant rates."""
    changes = []
    for name, (up, down) in laws.items():
        now, state = 0.0, True
        while now < length:
            now += rng.exponential(up if state else down)
            state = not state
            changes.append((now, name, state))
    states, before, good = dict.fromkeys(laws, True), 0.0, 0.0
    for now, name, state in sorted(changes):
        if is_up(structure, states):
            good += min(now, length) - min(before, length)
        states[name], before = state, now
    return good / length


def impact_episodes(bad, begin):
    """Second by second: in impact from two bad seconds in a row on, out of it before five good ones in a row."""
    found, start, good = [], None, 0
    for k in range(len(bad)):
        if k < int(begin):
            continue
        if start is None:
            if bad[k] and k + 1 < len(bad) and bad[k + 1]:
                start, good = k, 0
            continue
        good = 0 if bad[k] else good + 1
        if good == 5:
            found.append((start, k - 4, False))
            start = None
    return found if start is None else [*found, (start, len(bad), True)]


def impact_ratio(slots, arm, other, kinds):
    """Each fault that both have met, one after the other."""
    mine = theirs = 0.0
    rows = slots[slots["kind"].isin(kinds)].to_dict("records")
    for row in rows:
        if row["arm"] != arm:
            continue
        for pair in rows:
            if pair["arm"] == other and (pair["round"], pair["trial"]) == (row["round"], row["trial"]):
                mine, theirs = mine + row["impact_s"], theirs + pair["impact_s"]
    return mine / theirs if theirs else float("nan")


# --- simulate: what a trace of a recovery shows -----------------------------------------------------------------------


def longest_proof(trace, objective=0.99, span=10, gap=12, settle=11, hold=30):
    """Seconds in a row, from the action to the window's end, in which all that is delivered in the end looks well.

    Well: the entity's counters have moved within `gap`; of the requests of the last `span`, those of users and of the
    entity were served as promised; the median of `settle` scores is below its threshold; over `hold`, no neighbour is
    clearly worse than in the minute before the impact. What is not known for longer than `gap` is not well.
    """
    begin = trace.acted_at
    rows = {name: _by_second(getattr(trace, name), begin, -150) for name in ("telemetry", "service", "scores")}
    totals = [k for k, name in enumerate(trace.telemetry.columns) if name == "http_server_requests_total"]
    before = int((trace.impact_start - begin).total_seconds())
    asked = {"gateway", trace.entity} if rows["service"].get(trace.entity) else {"gateway"}
    detectors = [trace.thresholds[name] for name in trace.scores.columns]

    def ratio(entity, first, last):
        known = [rows["service"].get(entity, {}).get(t, (math.nan, math.nan)) for t in range(first, last + 1)]
        good = sum(g for g, n in known if not math.isnan(n))
        total = sum(n for g, n in known if not math.isnan(n))
        return good / total if total else math.nan

    def above(entity, first, last):
        shares = [0.0]
        for k, threshold in enumerate(detectors):
            seen = [rows["scores"].get(entity, {}).get(s, [math.nan] * 9)[k] for s in range(first, last + 1)]
            seen = [x > threshold for x in seen if not math.isnan(x)]
            shares.append(sum(seen) / len(seen) if seen else 1.0)
        return max(shares)

    def moved(t):
        seen = [rows["telemetry"].get(trace.entity, {}).get(s) for s in range(max(t - gap, 1), t + 1)]
        seen = [row[k] for row in seen if row is not None for k in totals if not math.isnan(row[k])]
        return len(set(seen)) > 1

    usual = {e: (ratio(e, before - 60, before - 1), above(e, before - 60, before - 1)) for e in trace.neighbours}
    longest = run = 0
    for t in range(1, trace.window + 1):
        well = moved(t) and above(trace.entity, max(t - settle + 1, 1), t) <= 0.5
        for entity in asked if well else ():
            now = ratio(entity, max(t - span, 1), t)
            well = well and not math.isnan(now) and now >= objective
        for entity in trace.neighbours if well else ():
            now = ratio(entity, max(t - hold, 1), t)
            alarmed = above(entity, max(t - hold, 1), t) - usual[entity][1]
            well = well and alarmed <= 0.5 and not now < min(usual[entity][0], objective) - 0.1
        run = run + 1 if well else 0
        longest = max(longest, run)
    return longest


def _by_second(frame, begin, since):
    table, stamps = {}, frame.index.get_level_values("timestamp")
    seconds = [round(x) for x in (stamps - begin).total_seconds()]
    for entity, t, row in zip(frame.index.get_level_values("entity"), seconds, frame.to_numpy().tolist(), strict=True):
        if t >= since:
            table.setdefault(entity, {})[t] = row
    return table


# --- remediation: courses around a repair, bad times ----------------------------------------------------------------


def carried(states, gap):
    """Each state, or the latest known one (not 0) that is at most `gap` steps old."""
    return [next((s for s in reversed(states[max(i - gap, 0) : i + 1]) if s), 0) for i in range(len(states))]


def runs(flags):
    """For how many steps on end, up to each, a flag has been up."""
    return [len(list(itertools.takewhile(bool, reversed(flags[: i + 1])))) for i in range(len(flags))]


def asked(counts, objective, recent, hold):
    """State of each step (1 good, 0 unknown, -1 bad) from its (good, total), judged by a binomial tail of 0.001."""
    states, last = [], -1

    def short(rows):
        rows = [row for row in rows if not math.isnan(row[1])]
        good, total = sum(row[0] for row in rows), sum(row[1] for row in rows)
        return total > good and stats.binom.sf(total - good - 1, total, 1 - objective) < 1e-3

    for i, (_, total) in enumerate(counts):
        if math.isnan(total):
            states.append(0)
            continue
        if short(counts[max(i - recent + 1, 0) : i + 1]):
            last = i
            states.append(-1)
        else:
            states.append(-1 if short(counts[max(i - hold + 1, last + 1, 0) : i + 1]) else 1)
    return states


def moving(values, usual, since):
    """Whether one series moves as often as in its first `usual` steps: (alive by step, lively)."""

    def moves(first, last):
        found, before = [], math.nan
        for i in range(first, last):
            found.append(not math.isnan(values[i]) and not math.isnan(before) and values[i] != before)
            before = before if math.isnan(values[i]) else values[i]
        return found

    known = sum(not math.isnan(x) for x in values[:usual])
    share = sum(moves(0, usual)) / (known - 1) if known >= 20 else math.nan
    there = [not math.isnan(x) for x in values[:usual]]
    stood = again = longest = run = 0
    for i in range(usual - 1):
        stands = there[i] and not moves(0, usual)[i] and there[i + 1]
        run = run + 1 if stands else 0
        longest, stood, again = max(longest, run), stood + stands, again + (stands and moves(0, usual)[i + 1])
    woken = 0.5 if math.isnan(share) else min((again + 20 * share) / (stood + 20), share)
    still = min(max(1 - woken, 0.1), 1 - 1e-6)
    patience = math.ceil(math.log(1e-3) / math.log(still) - 1e-9)
    patience = min(max(longest + 2, patience), 3 * patience)
    later = [False] * min(since, len(values)) + moves(since, len(values))
    alive = [any(later[max(i - patience + 1, 0) : i + 1]) for i in range(len(values))]
    return alive, share >= 0.02


def bad_times(states, hold, repaired):
    """Bad times (first, last, healed by itself): each goes on until `hold` steps after a bad one are not bad."""
    times = []
    for i, state in enumerate(states):
        if state == -1:
            if times and i - times[-1][1] <= hold:
                times[-1][1] = i
            else:
                times.append([i, i])
    return [(a, b, len(states) - 1 - b >= hold and not any(a <= r <= b + hold for r in repaired)) for a, b in times]


# --- fmea ----------------------------------------------------------------------------------------------------------

PRIORITIES = {  # AIAG & VDA FMEA Handbook (2019): rows O 8-10, 6-7, 4-5, 2-3, 1; letters D 7-10, 5-6, 2-4, 1
    (9, 10): "HHHH HHHH HHHM HMLL LLLL",
    (7, 8): "HHHH HHHM HMMM MMLL LLLL",
    (4, 6): "HHMM MMML MLLL LLLL LLLL",
    (2, 3): "MMLL LLLL LLLL LLLL LLLL",
    (1, 1): "LLLL LLLL LLLL LLLL LLLL",
}


def action_priority(severity, occurrence, detection):
    """Look the action priority up with a finger on the page."""
    for (low, high), cells in PRIORITIES.items():
        if low <= severity <= high:
            row = next(n for n, least in enumerate((8, 6, 4, 2, 1)) if occurrence >= least)
            column = next(n for n, least in enumerate((7, 5, 2, 1)) if detection >= least)
            return cells.split()[row][column]
    raise AssertionError


def fewest_nodes(rows, cpu, apart):
    """Smallest number of nodes that hold (replicas, needed, cpu) of each service, of all plans; None without a plan."""
    options = []
    for replicas, needed, _ in rows:
        ways = [w for w in itertools.product(range(replicas + 1), repeat=len(cpu)) if sum(w) == replicas]
        needed = min(needed, replicas)
        spare = replicas - needed if 0 < needed < replicas else replicas
        options.append([w for w in ways if max(w) <= spare])
    best = None
    for plan in itertools.product(*options):
        fits = all(
            sum(way[j] * size for way, (*_, size) in zip(plan, rows, strict=True)) <= cpu[j] + 1e-9
            and sum(way[j] for way in plan) <= 8
            for j in range(len(cpu))
        )
        met = apart and any(plan[0][j] and plan[1][j] for j in range(len(cpu)))
        if fits and not met:
            used = sum(any(way[j] for way in plan) for j in range(len(cpu)))
            best = used if best is None else min(best, used)
    return best


def foretold(demand, ahead, period, level, smooth, cycles):
    """What is expected of each row's successor by `ahead` rows, from the rows up to it alone."""
    told = []
    for now in range(len(demand)):
        known = demand[: now + 1]

        def mean(begin, end, known=known):
            inside = [x for x in known[begin:end] if x == x] if begin >= 0 and end <= len(known) else []
            return sum(inside) / len(inside) if inside else math.nan

        recent = mean(max(now + 1 - level, 0), now + 1)
        phase, usual = [], []
        for k in range(1, cycles + 1):
            begin = now + ahead - k * period - smooth // 2
            phase.append(mean(begin, begin + smooth))
            usual.append(mean(now + 1 - level - k * period, now + 1 - k * period))
        phase, usual = ([x for x in xs if x == x] for xs in (phase, usual))
        same = statistics.median(usual) if usual else math.nan
        scaled = statistics.median(phase) * recent / same if phase and usual and same else math.nan
        told.append(scaled if scaled == scaled else recent)
    return told


def waited_too_long(demand, ready, rate, allowed, share, window, patience, parts=400):
    """Whether each second is over the level, by requests that come one after the other in small parts of a second."""
    queue, asked, late, over = 0.0, [], [], []
    for per_second, many in zip(demand, ready, strict=True):
        able, slow = many * rate, 0.0
        for _ in range(parts):
            half = queue + (per_second - able) / parts / 2
            slow += (half / able > allowed) * per_second / parts
            queue = min(max(queue + (per_second - able) / parts, 0.0), patience * able)
        asked.append(per_second)
        late.append(slow)
        over.append(sum(late[-window:]) - share * sum(asked[-window:]))
    return over


def staying_backups(moments, keep, now):
    """Which backups stay, from the newest to the oldest, each asked alone."""
    stay = set()
    for k, moment in enumerate(moments):
        newer = [other for other in moments if other > moment]
        if not newer:
            stay.add(k)
            continue
        kept = len(newer) < keep.last
        for count, form in ((keep.daily, "%Y-%m-%d"), (keep.weekly, "%G-%V")):
            names = [dt.datetime.fromtimestamp(other, dt.UTC).strftime(form) for other in (moment, *newer)]
            kept |= names[0] not in names[1:] and len(set(names[1:])) < count
        if kept and now - moment <= keep.days * 86_400:
            stay.add(k)
    return stay


def burst_score(counts, at, window, half_life, least):
    """How unlikely the messages of the last rows up to `at` are, by a sum over the negative binomial's terms."""
    if math.isnan(counts[at]):
        return math.nan
    judged = [x for x in counts[max(at - window + 1, 0) : at + 1] if x == x]
    begin, shape, exposure = at - window, 0.5, 0.0
    for row in range(begin + 1):
        if counts[row] == counts[row]:
            weight = 0.5 ** ((begin - row) / half_life)
            shape, exposure = shape + weight * counts[row], exposure + weight
    if exposure < least:
        return math.nan
    p = exposure / (exposure + len(judged))
    fewer, term = 0.0, p**shape
    for n in range(int(sum(judged))):
        fewer += term
        term *= (shape + n) / (n + 1) * (1 - p)
    return -math.log10(max(1 - fewer, 1e-300))


def newest_labels(rows):
    """Names of the labels that hold: of each alarm (detector, entity, start) the last of the newest."""
    holds = {}
    for row in rows:
        alarm = (row["detector"], row["entity"], row["start"])
        if alarm not in holds or row["labelled_at"] >= holds[alarm]["labelled_at"]:
            holds[alarm] = row
    return {row["label_id"] for row in holds.values()}


def whole_rows(text):
    """JSON lines without what a writer had not ended; all of a text that has one line only."""
    first, newline, rest = text.rpartition(b"\n")
    try:
        json.loads(rest)
    except ValueError:
        return first + newline or rest
    return text


def link_leaves(place, name):
    """Whether the system leaves a folder on the way along a path, step by step; a loop leads nowhere good."""
    at, todo, steps = place, list(Path(name).parts), 0
    while todo:
        at = at / todo.pop(0)
        if at.name == "..":
            at = at.parent.parent
        elif at.is_symlink():
            target = at.readlink()
            steps += 1
            if target.is_absolute() or steps > 40:
                return True
            at, todo = at.parent, [*target.parts, *todo]
        if not at.is_relative_to(place):
            return True
    return False


def stability_index(reference, current, count):
    """Population stability index by its formula; half a row in each bin, a bin for each of few values."""
    now = [x for x in current if not math.isnan(x)]
    if not now:
        return math.nan
    own = sorted(set(reference))
    if len(own) <= count:
        holds = [lambda x, v=v: x == v for v in own] + [lambda x: x not in own]
    else:
        edges = sorted({float(np.quantile(reference, k / count)) for k in range(1, count)})
        low, high = [-math.inf, *edges], [*edges, math.inf]
        holds = [lambda x, a=a, b=b: a < x <= b for a, b in zip(low, high, strict=True)]
    total = 0.0
    for hold in holds:
        p = (sum(map(hold, reference)) + 0.5) / (len(reference) + 0.5 * len(holds))
        q = (sum(map(hold, now)) + 0.5) / (len(now) + 0.5 * len(holds))
        total += (q - p) * math.log(q / p)
    return total


def averted_share(rows, repairs, horizon):
    """For each (entity, t): what share of its horizon follows the next repair; 1 within one, None without."""
    found = []
    for entity, at in rows:
        own = [(start, end) for name, start, end in repairs if name == entity]
        ahead = [start for start, _ in own if at <= start <= at + horizon]
        if any(start <= at <= end for start, end in own):
            found.append(1.0)
        else:
            found.append(1 - (min(ahead) - at) / horizon if ahead else None)
    return found


def near_duplicates(vectors, seconds, alike, within):
    """Place of each message's group's first, in time's order: the likest leader that is alike and near, else itself."""
    leads, found = [], []
    for k, (vector, moment) in enumerate(zip(vectors, seconds, strict=True)):
        cosines = {j: round(sum(v * vectors[j].get(w, 0.0) for w, v in vector.items()), 9) for j in leads}
        fits = [j for j in leads if cosines[j] >= alike and moment - seconds[j] <= within]
        found.append(max(fits, key=lambda j: cosines[j], default=k))
        if not fits:
            leads.append(k)
    return found


def screened(rows, limit, merge, screen):
    """Of one entity's rows (second, parts): when each alarm is raised and whether it speaks, asking at each hot row."""
    events = []
    for k, (second, parts) in enumerate(rows):
        score = max(parts.values())
        if score <= limit:
            continue
        if events and (second - events[-1][-1][0] <= merge or events[-1][-1][2] == k - 1):
            events[-1].append((second, parts, k))
        else:
            events.append([(second, parts, k)])
    told = []
    for event in events:
        largest = {}
        for place, (second, parts, _) in enumerate(event):
            largest = {name: max(part, largest.get(name, 0.0)) for name, part in parts.items()}
            evidence = {name: min(math.log2(1 + part / limit), 4.0) for name, part in largest.items()}
            hurt = max(evidence[name] for name in evidence if name.startswith("errors_"))
            odds = screen["intercept"] + screen["felt_weight"] * hurt
            odds += sum(weight * evidence.get(name, 0.0) for name, weight in screen["weights"].items())
            leading = {name for name in largest if largest[name] == max(largest.values())}
            loud = max(largest.values()) > screen["stronger"] * screen["loudest"] * limit
            speaks = odds >= 0 or loud or not leading <= set(screen["weights"])
            if place == 0 or speaks:
                told.append((second, speaks))
            if speaks:
                break
    return told
