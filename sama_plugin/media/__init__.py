"""Video files, frames, masks and regions: everything before the model that touches pixels."""
