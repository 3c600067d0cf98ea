"""What do we promise and at what price: tariffs, invitations, awards."""
