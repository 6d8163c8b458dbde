"""What is done with a trained work folder: opened, evaluated, predicted with, exported."""
