"""What `import harness` offers: training, tables of runs, one run opened. Functions that call the rooms below."""
