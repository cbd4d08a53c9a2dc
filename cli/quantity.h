// Sizes and speeds for people, in decimal units.
#pragma once

#include <string>

namespace vitrine::cli {

// "70.27 kB", "671.03 B": three or four figures and a decimal prefix. `unit` may be "".
std::string quantity(double value, const char* unit);
// "1.10 ms"
std::string duration(double seconds);

}  // namespace vitrine::cli
