"""What can be said after a fit: functions of a Fit, each in its file."""
