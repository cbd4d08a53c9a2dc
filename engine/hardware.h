// Hardware as planning sees it: memory, the speed of reading it, arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

struct Hardware {
  std::string name;
  uint32_t devices = 1;
  // Of one device. 0: not known; what depends on it is not predicted.
  double memory = 0;        // bytes
  double bandwidth = 0;     // bytes read per second
  double flops = 0;         // dense bf16 operations per second
  std::string source = {};  // where the numbers come from

  double total_memory() const { return memory * devices; }
  double total_bandwidth() const { return bandwidth * devices; }
  double total_flops() const { return flops * devices; }
};

std::vector<std::string_view> known_hardware_names();  // "h100", "h200", "8xh200"
std::optional<Hardware> known_hardware(std::string_view name);

// This machine: its memory, and how fast all its processors together read a
// buffer far larger than their caches. Takes about `seconds`.
Hardware measure_this_machine(double seconds = 0.6);

}  // namespace vitrine
