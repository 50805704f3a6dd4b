"""What every experiment would write again: sentences, and tables by machine."""
