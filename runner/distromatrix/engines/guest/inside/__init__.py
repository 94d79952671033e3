"""What a guest runs of ours."""
