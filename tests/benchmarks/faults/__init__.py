"""What the doctor finds: known bugs, one at a time, beside healthy runs."""
