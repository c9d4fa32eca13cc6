"""The native engine: a whole step of training on a CPU, in C++ without torch."""
