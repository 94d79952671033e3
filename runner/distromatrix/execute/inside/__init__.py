"""What is put into machines, as it is: files that depend on nothing of ours."""
