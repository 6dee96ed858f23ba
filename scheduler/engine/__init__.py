"""What polls: finding what is due, and polling it."""
