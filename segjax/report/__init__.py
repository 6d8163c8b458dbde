"""The report that ends a sweep: tables, tests and figures over settings, seeds and cases."""
