// Sizes and speeds for people, in decimal units.
#pragma once

#include <string>

namespace vitrine::cli {

// "70.27 kB", "4.30 TB": three or four figures and a decimal prefix.
std::string quantity(double value, const char* unit);
// "671.03 B", "2.451 B": numbers of parameters, as people name models by them.
std::string parameter_count(double value);
// "1.10 ms"
std::string duration(double seconds);

}  // namespace vitrine::cli
