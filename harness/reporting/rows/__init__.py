"""The rows of a table and their numbers: which runs stand in a row, their means, published values, what is best."""
