"""What a full-screen program costs: run in a terminal of its own, measured from outside. For the guest, or anywhere."""
