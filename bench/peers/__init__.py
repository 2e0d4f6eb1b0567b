"""What users could pick instead of Pentad, measured on the same work in the same run."""
