"""Phantoms behind the sets that are generated: fundus photographs and short-axis cardiac MR."""
