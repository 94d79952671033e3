"""What may stand in each YAML file, as pydantic models."""
