"""What is learnt from running: labels on alarms and what they teach, drift, and when to learn again."""
