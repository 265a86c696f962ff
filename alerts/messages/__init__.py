"""What people read: titles, bodies, suggested replies."""
