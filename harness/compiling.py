"""What torch.compile is to leave alone."""

from functools import cache

import torch

# Leaves a function out of what torch.compile traces. Applied where it is called: as a decorator it would import the
# compiler with the module, a second for every command that only reads a spec.
untraced = cache(torch.compiler.disable)
