"""What every experiment would write again: calibration, sentences, tables by machine."""
