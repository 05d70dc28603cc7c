"""The pipeline: what is asked becomes measurements."""
