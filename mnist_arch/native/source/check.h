// Every number of a program is checked before it is used.
#pragma once

#include "program.h"

/// Throws std::invalid_argument, which names the operation, where a program is wrong.
void check(const NativeProgram& program);
