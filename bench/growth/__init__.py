"""What a run costs when much is stored, open or waiting already."""
