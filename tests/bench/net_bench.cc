// The path of nearly every byte: packet reader → IP → TCP in order, on
// 1460-byte segments; then the same with reordering. Bytes of capture per
// second; payload is handed on without being read, so this is the cost of the
// headers alone.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <new>
#include <string>

#include "capture/net/ip.h"
#include "capture/net/tcp.h"

namespace {
uint64_t allocations = 0;  // of the whole program; read around the timed loop
}
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace vitrine {
namespace {

void put(std::string& out, uint64_t value, int width, bool big_endian) {
  for (int i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> 8 * (big_endian ? width - 1 - i : i)));
}

std::string frame(uint32_t sequence, size_t payload) {
  std::string out("\x02\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x08\x00\x45\x00", 16);
  put(out, 40 + payload, 2, true);
  out += std::string("\0\1\0\0\x40\x06\0\0\xcb\0\x71\x07\xc6\x33\x64\x05", 16);
  put(out, 40000, 2, true);
  put(out, 443, 2, true);
  put(out, sequence, 4, true);
  put(out, 1, 4, true);
  out += std::string("\x50\x10\xff\xff\0\0\0\0", 8);
  out.append(payload, 'x');
  return out;
}

// `swap`: every n-th pair of segments changes places; 0 = none.
std::string capture(bool ng, size_t packets, size_t swap) {
  std::string out;
  if (ng) {
    for (const uint32_t word : {0x0a0d0d0au, 28u, 0x1a2b3c4du, 1u, ~0u, ~0u, 28u, 1u, 20u, 1u, 0u, 20u})
      put(out, word, 4, false);
  } else {
    for (const uint32_t word : {0xa1b2c3d4u, 0x00040002u, 0u, 0u, 262144u, 1u}) put(out, word, 4, false);
  }
  for (size_t i = 0; i < packets; ++i) {
    size_t which = i;
    if (swap != 0 && i % swap < 2 && i - i % swap + 1 < packets) which = i ^ 1;
    const std::string data = frame(static_cast<uint32_t>(1 + which * 1460), 1460);
    const uint32_t length = static_cast<uint32_t>(data.size());
    if (ng) {
      const uint32_t padded = (length + 3) & ~3u;
      for (const uint32_t word : {6u, padded + 32, 0u, 1u, static_cast<uint32_t>(i), length, length})
        put(out, word, 4, false);
      out += data;
      out.append(padded - length, '\0');
      put(out, padded + 32, 4, false);
    } else {
      for (const uint32_t word : {1'700'000'000u, static_cast<uint32_t>(i % 1'000'000), length, length})
        put(out, word, 4, false);
      out += data;
    }
  }
  return out;
}

class Count : public StreamSink, public IssueSink {
 public:
  void on_chunk(const StreamChunk& chunk) override { bytes += chunk.bytes.size(); }
  void issue(Issue) override { ++issues; }
  uint64_t bytes = 0, issues = 0;
};

void run(benchmark::State& state, bool ng, size_t swap) {
  constexpr size_t kPackets = 40000;  // 60 MB: past the caches, as a file is
  const std::string file = capture(ng, kPackets, swap);
  uint64_t in_loop = 0;
  for (auto _ : state) {
    Count sink;
    auto reader = open_capture(as_bytes(file), sink);
    IpReassembler ip(sink);
    TcpConnection connection(sink, sink, 1);
    Packet packet;
    Datagram datagram;
    TcpHeader tcp;
    std::string_view why;
    tcp.syn = true;
    connection.segment(Direction::client_to_server, tcp, {}, 1);
    const uint64_t before = allocations;
    while ((*reader)->next(packet)) {
      if (ip.decode(packet, datagram) && parse_tcp(datagram, tcp, why)) {
        connection.segment(Direction::client_to_server, tcp, packet.time, packet.number);
      }
    }
    in_loop += allocations - before;
    if (sink.bytes != kPackets * 1460 || sink.issues != 0) state.SkipWithError("the stream did not come out whole");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * file.size()));
  state.counters["allocations/packet"] =
      benchmark::Counter(static_cast<double>(in_loop) / (static_cast<double>(state.iterations()) * kPackets));
}

void pcap_in_order(benchmark::State& state) { run(state, false, 0); }
void pcapng_in_order(benchmark::State& state) { run(state, true, 0); }
void pcapng_tenth_reordered(benchmark::State& state) { run(state, true, 20); }
BENCHMARK(pcap_in_order);
BENCHMARK(pcapng_in_order);
BENCHMARK(pcapng_tenth_reordered);

}  // namespace
}  // namespace vitrine

BENCHMARK_MAIN();
