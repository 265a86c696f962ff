"""Labels -> decisions -> people: rules, the life of an alert, reply tasks, delivery."""
