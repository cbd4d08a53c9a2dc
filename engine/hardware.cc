#include "engine/hardware.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <thread>

namespace vitrine {
namespace {

constexpr double kGb = 1e9, kTera = 1e12;

struct Row {
  std::string_view key;
  const char* name;
  uint32_t devices;
  double memory, bandwidth, flops;
  const char* source;
};

// Measured where someone measured; data sheets promise more than can be had.
constexpr Row kHardware[] = {
    {"h100", "H100 SXM", 1, 80 * kGb, 3.0 * kTera, 700 * kTera,
     "memory: data sheet; bandwidth and operations: about 90 % and 70 % of the data sheet's 3.35 TB/s and 989 TFLOP/s"},
    {"h200", "H200", 1, 141 * kGb, 4.3 * kTera, 790 * kTera,
     "memory: data sheet; device copy and cuBLAS bf16, measured"},
    {"8xh200", "8 x H200", 8, 141 * kGb, 4.3 * kTera, 790 * kTera, "as one H200, eight times"},
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Sums the buffer eight words at a time: the loop is as fast as memory.
uint64_t read_all(const uint64_t* words, size_t count) {
  uint64_t sum[8] = {};
  for (size_t i = 0; i + 8 <= count; i += 8) {
    for (size_t j = 0; j < 8; ++j) sum[j] += words[i + j];
  }
  uint64_t total = 0;
  for (const uint64_t s : sum) total += s;
  return total;
}

}  // namespace

std::vector<std::string_view> known_hardware_names() {
  std::vector<std::string_view> names;
  for (const Row& row : kHardware) names.push_back(row.key);
  return names;
}

std::optional<Hardware> known_hardware(std::string_view name) {
  const auto* row =
      std::find_if(std::begin(kHardware), std::end(kHardware), [&](const Row& r) { return r.key == name; });
  if (row == std::end(kHardware)) return std::nullopt;
  return Hardware{row->name, row->devices, row->memory, row->bandwidth, row->flops, row->source};
}

Hardware measure_this_machine(double seconds) {
  Hardware out{.name = "this machine"};
  const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  out.memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * page;
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  // 256 MiB a thread, but never more than a quarter of what is free.
  const double available = static_cast<double>(sysconf(_SC_AVPHYS_PAGES)) * page;
  const size_t bytes = static_cast<size_t>(std::min(256.0 * (1 << 20), available / 4 / threads)) / 4096 * 4096;
  if (bytes == 0) return out;

  std::atomic<unsigned> ready{0};
  std::atomic<uint64_t> read_bytes{0}, sink{0};
  std::atomic<double> deadline{0};
  std::vector<std::thread> workers;
  for (unsigned t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      auto* words = memory == MAP_FAILED ? nullptr : static_cast<uint64_t*>(memory);
      for (size_t i = 0; words != nullptr && i < bytes / 8; ++i) words[i] = i;  // pages exist and differ
      // The last to be ready starts the clock for all.
      if (++ready == threads) deadline = seconds_now() + seconds;
      while (deadline == 0) std::this_thread::yield();
      while (words != nullptr && seconds_now() < deadline) {
        sink += read_all(words, bytes / 8);
        read_bytes += bytes;
      }
      if (words != nullptr) munmap(memory, bytes);
    });
  }
  while (deadline == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const double start = deadline - seconds;
  for (std::thread& worker : workers) worker.join();
  out.bandwidth = static_cast<double>(read_bytes) / (seconds_now() - start);
  out.source = "measured: " + std::to_string(threads) + " threads reading " + std::to_string(bytes >> 20) + " MiB each";
  return out;
}

}  // namespace vitrine
