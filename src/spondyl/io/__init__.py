"""Files to words and words to files. Nothing inside the house reads or writes one."""
