"""What an answer is, how a completion is read, and how it is graded."""
