"""What has been captured: the log files, the rows about them, and the account of both."""
