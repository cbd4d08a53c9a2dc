// Speed of the CPU operators on shapes of DeepSeek-V2-Lite, against the limits of
// this machine measured in the same run: memory reading, and 8-bit and float
// arithmetic from registers. Each line: work, prediction from the limits, median of
// the runs, share of the limit. Weights are larger together than the last-level cache.
//   kernels_bench [--isa avx512|avx2|portable] [--threads N] [--only WORD] [--seconds S] [--clock wall|cpu]
// With --clock cpu (and one thread) a loaded machine still shows what the arithmetic costs.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/quant.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrine {
namespace {

struct Options {
  CpuOptions cpu;
  std::string only;
  double seconds = 0.4;  // per line
};

// Of the clock, or of the processor where other programs take their share.
bool processor_time = false;

double now() {
  timespec t{};
  clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds_of(const std::function<void()>& f) {
  const double start = now();
  f();
  return now() - start;
}

// Median over at least five runs and `seconds`. The best one is what others' load hid least.
struct Timing {
  double median, best;
};
Timing measure(double seconds, const std::function<void()>& f) {
  f();
  std::vector<double> times;
  double total = 0;
  while (times.size() < 5 || total < seconds) {
    times.push_back(seconds_of(f));
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

void on_threads(int threads, const std::function<void(int)>& f) {
  std::vector<std::thread> all;
  for (int i = 1; i < threads; ++i) all.emplace_back(f, i);
  f(0);
  for (std::thread& t : all) t.join();
}

// ---- limits

double read_bandwidth(int threads, double seconds) {
  std::vector<uint64_t> data((256u << 20) / 8, 1);
  std::atomic<uint64_t> sink{0};
  const Timing t = measure(seconds, [&] {
    on_threads(threads, [&](int i) {
      const size_t part = data.size() / static_cast<size_t>(threads);
      const uint64_t* p = data.data() + part * static_cast<size_t>(i);
      uint64_t s[8] = {};
      for (size_t k = 0; k + 8 <= part; k += 8) {
        for (size_t j = 0; j < 8; ++j) s[j] += p[k + j];
      }
      sink += s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
    });
  });
  return static_cast<double>(data.size()) * 8 / t.median;
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) int64_t spin_vnni(int64_t n) {
  __m512i acc[12], w = _mm512_set1_epi32(0x01010101), x = _mm512_set1_epi32(0x02020202);
  for (auto& a : acc) a = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm512_dpbusd_epi32(a, w, x);
    asm volatile("" : "+v"(w));
  }
  __m512i s = acc[0];
  for (int i = 1; i < 12; ++i) s = _mm512_add_epi32(s, acc[i]);
  return _mm512_cvtsi512_si32(s);
}
__attribute__((target("avx512f"))) float spin_fma(int64_t n) {
  __m512 acc[12], w = _mm512_set1_ps(1e-9f), x = _mm512_set1_ps(1e-9f);
  for (auto& a : acc) a = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; ++i) {
#pragma GCC unroll 12
    for (auto& a : acc) a = _mm512_fmadd_ps(w, x, a);
    asm volatile("" : "+v"(w));
  }
  __m512 s = acc[0];
  for (int i = 1; i < 12; ++i) s = _mm512_add_ps(s, acc[i]);
  return _mm512_cvtss_f32(s);
}

// Multiplications and additions per second on all threads; 0 without AVX-512.
template <class Function>
double arithmetic(int threads, double seconds, double operations, Function spin) {
  if (!isa_available(Isa::avx512)) return 0;
  constexpr int64_t kRounds = 200000;
  const Timing t = measure(seconds, [&] {
    on_threads(threads, [&](int) {
      volatile auto keep = spin(kRounds);
      (void)keep;
    });
  });
  return operations * 12 * kRounds * threads / t.median;
}
#endif

// ---- operators

class Bench {
 public:
  Bench(Options options, std::unique_ptr<Ops> ops, int threads)
      : options_(std::move(options)), ops_(std::move(ops)), threads_(threads) {}

  void run() {
    bandwidth_ = read_bandwidth(threads_, options_.seconds);
    fmt::print("{}\nlimits: read {:.1f} GB/s", ops_->description(), bandwidth_ / 1e9);
#if defined(__x86_64__)
    int8_ = arithmetic(threads_, options_.seconds, 128, spin_vnni);
    fp32_ = arithmetic(threads_, options_.seconds, 32, spin_fma);
    fmt::print(", 8-bit {:.2f} TOP/s, fp32 {:.2f} TFLOP/s", int8_ / 1e12, fp32_ / 1e12);
#endif
    fmt::print("\n{:34} {:>9} {:>9} {:>10} {:>10} {:>10} {:>9} {:>6}\n", "", "MB", "Gop", "predicted", "median", "best",
               "rate", "limit");
    if (!ops_->plan({.tokens = 512, .widest_input = 4096, .ffn_width = 1408, .experts = 64, .experts_used = 6})) return;
    for (const Type type :
         {Type::q4_0, Type::q4_1, Type::q5_0, Type::q5_1, Type::q8_0, Type::mxfp4, Type::q2_k, Type::q3_k, Type::q4_k,
          Type::q5_k, Type::q6_k, Type::f8_e4m3, Type::bf16, Type::f16, Type::f32}) {
      matmul(type);
    }
    for (const Type type : {Type::q4_0, Type::q8_0, Type::mxfp4, Type::bf16}) experts(type);
    heads();
    attention();
  }

 private:
  // Decoding is bound by bytes, prompts by operations: the longer of the two is the prediction.
  void line(const std::string& name, double bytes, double operations, double peak, const std::function<void()>& f) {
    if (!options_.only.empty() && name.find(options_.only) == std::string::npos) return;
    const double by_bytes = bytes / bandwidth_, by_operations = peak > 0 ? operations / peak : 0;
    const double predicted = std::max(by_bytes, by_operations);
    const Timing t = measure(options_.seconds, f);
    if (const Status status = ops_->sync(); !status) fmt::print("{}: {}\n", name, status.error().message);
    const bool memory = by_bytes >= by_operations;
    fmt::print("{:34} {:9.1f} {:9.2f} {:8.3f}ms {:8.3f}ms {:8.3f}ms {:9} {:5.0f}%\n", name, bytes / 1e6,
               operations / 1e9, predicted * 1e3, t.median * 1e3, t.best * 1e3,
               memory ? fmt::format("{:.1f} GB/s", bytes / t.median / 1e9)
                      : fmt::format("{:.0f} Gop/s", operations / t.median / 1e9),
               100 * predicted / t.median);
    std::fflush(stdout);
  }

  // Weights of one type, all alike; random bytes with sane factors are as slow as real ones.
  Weight weight(Type type, uint64_t n_in, uint64_t n_out, uint64_t planes = 1) {
    std::vector<float> values(n_in);
    std::normal_distribution<float> normal(0, 0.05f);
    for (float& v : values) v = normal(random_);
    const uint64_t row = *row_bytes(type, n_in);
    std::vector<uint8_t> bytes(row * n_out * planes);
    if (!quantize_row(type, values.data(), n_in, bytes.data())) {
      std::fill_n(bytes.begin(), row, uint8_t{0x11});  // factors of 6e-4: f16 0x1111
    }
    for (uint64_t r = 1; r < n_out * planes; ++r) std::memcpy(&bytes[r * row], bytes.data(), row);
    storage_.push_back(std::move(bytes));
    std::vector<TensorView> views;
    if (type == Type::f8_e4m3) {
      storage_.emplace_back((n_in + 127) / 128 * ((n_out + 127) / 128) * 4, uint8_t{0x3c});
      for (uint64_t p = 0; p < planes; ++p) {
        views.push_back(*TensorView::make(type, {n_in, n_out}, Bytes(storage_.end()[-2]).subspan(p * row * n_out),
                                          storage_.back()));
      }
    } else {
      views.push_back(*TensorView::make(type, {n_in, n_out, planes}, storage_.back()));
    }
    return planes > 1 && views.size() > 1 ? *ops_->upload(views) : *ops_->upload(views[0]);
  }
  Tensor activations(int64_t n0, int64_t n1, int64_t n2 = 1) {
    buffers_.push_back(std::move(*ops_->alloc(static_cast<uint64_t>(n0 * n1 * n2) * 4)));
    Tensor t = buffers_.back().f32(0, n0, n1, n2);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < t.elements(); ++i) static_cast<float*>(t.data)[i] = normal(random_);
    return t;
  }

  bool wanted(const std::string& name) {
    return options_.only.empty() || name.find(options_.only) != std::string::npos;
  }

  // The attention output projection and others of its size, 2048 to 2048, as many as fill 128 MB.
  void matmul(Type type) {
    const std::string name = "matmul " + std::string(type_name(type));
    if (!wanted(name)) return;
    const int64_t n = 2048;
    const double bytes = static_cast<double>(*row_bytes(type, n)) * n;
    std::vector<Weight> weights;
    for (double total = 0; total < 128e6; total += bytes) weights.push_back(weight(type, n, n));
    const double peak = block_elements(type) > 1 ? int8_ : fp32_;
    for (const int64_t tokens : {1, 8, 512}) {
      const Tensor x = activations(n, tokens), y = activations(n, tokens);
      const size_t count = tokens > 8 ? 2 : weights.size();
      const auto matrices = static_cast<double>(count);
      line(name + fmt::format(" x{}", tokens), bytes * matrices, 2.0 * n * n * static_cast<double>(tokens) * matrices,
           peak, [&, this] {
             for (size_t i = 0; i < count; ++i) ops_->matmul(weights[i], x, y);
           });
    }
    release();
  }

  // One layer's experts: 64 of 1408, six a token.
  void experts(Type type) {
    const std::string name = "moe_ffn " + std::string(type_name(type));
    if (!wanted(name)) return;
    const int64_t n = 2048, n_ff = 1408, count = 64, used = 6;
    const Weight gate = weight(type, n, n_ff, count), up = weight(type, n, n_ff, count),
                 down = weight(type, n_ff, n, count);
    const double expert = static_cast<double>(*row_bytes(type, n) * n_ff * 2 + *row_bytes(type, n_ff) * n);
    const double peak = block_elements(type) > 1 ? int8_ : fp32_;
    for (const int64_t tokens : {1, 8, 512}) {
      const Tensor x = activations(n, tokens), y = activations(n, tokens), weights = activations(used, tokens);
      std::vector<int32_t> ids(static_cast<size_t>(used * tokens));
      const Tensor route = Tensor::i32(ids.data(), used, tokens);
      std::vector<char> seen(count, 0);
      const auto choose = [&] {
        std::vector<int32_t> all(count);
        for (int32_t e = 0; e < count; ++e) all[static_cast<size_t>(e)] = e;
        for (int64_t t = 0; t < tokens; ++t) {
          std::shuffle(all.begin(), all.end(), random_);
          std::copy_n(all.begin(), used, ids.begin() + t * used);
        }
      };
      choose();
      for (const int32_t id : ids) seen[static_cast<size_t>(id)] = 1;
      const auto distinct = static_cast<double>(std::count(seen.begin(), seen.end(), 1));
      line(name + fmt::format(" x{}", tokens), expert * distinct,
           2.0 * 3 * n * n_ff * used * static_cast<double>(tokens), peak, [&, this] {
             if (tokens == 1) choose();  // else the six would stay in the cache
             ops_->moe_ffn(gate, up, down, x, route, weights, y);
           });
    }
    release();
  }

  void heads() {
    const std::string name = "matmul_heads BF16";
    if (!wanted(name)) return;
    const int64_t heads = 16, n_in = 128, n_out = 512;
    std::vector<Weight> weights;
    for (int i = 0; i < 32; ++i) weights.push_back(weight(Type::bf16, n_in, n_out, heads));
    for (const int64_t tokens : {1, 512}) {
      const Tensor x = activations(n_in, heads, tokens), y = activations(n_out, heads, tokens);
      const size_t count = tokens > 8 ? 2 : weights.size();
      line(name + fmt::format(" x{}", tokens), 2.0 * n_in * n_out * heads * static_cast<double>(count),
           2.0 * n_in * n_out * heads * static_cast<double>(tokens) * static_cast<double>(count), fp32_, [&, this] {
             for (size_t i = 0; i < count; ++i) ops_->matmul_heads(weights[i], x, y);
           });
    }
    release();
  }

  void attention() {
    const int64_t heads = 16, context = 4096, page = 64;
    struct Kind {
      const char* name;
      KvShape shape;
    };
    for (const Kind& kind : {Kind{"mla_attention F16", {.kind = KvShape::Kind::mla, .k_dim = 576, .v_dim = 512}},
                             Kind{"attention F16 16/4", {.kv_heads = 4, .k_dim = 128, .v_dim = 128}}}) {
      if (!wanted(kind.name)) continue;
      KvShape shape = kind.shape;
      const bool mla = shape.kind == KvShape::Kind::mla;
      shape.page_tokens = page;
      shape.pages = context / page;
      KvCache cache = std::move(*ops_->alloc_kv(shape));
      std::vector<int32_t> table(static_cast<size_t>(shape.pages)), seq, pos;
      for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int32_t>(i);
      const auto batch = [&](int64_t begin, int64_t end) {
        seq.assign(static_cast<size_t>(end - begin), 0);
        pos.clear();
        for (int64_t p = begin; p < end; ++p) pos.push_back(static_cast<int32_t>(p));
        return Batch{Tensor::i32(seq.data(), end - begin), Tensor::i32(pos.data(), end - begin),
                     Tensor::i32(table.data(), shape.pages)};
      };
      struct Step {
        const char* name;
        int64_t begin, end;
      };
      for (const Step& step : {Step{" decode at 4096", 4095, 4096}, Step{" prompt of 512", 0, 512}}) {
        const int64_t tokens = step.end - step.begin;
        const Tensor q = activations(mla ? 512 : shape.k_dim, heads, tokens), rope = activations(64, heads, tokens),
                     y = activations(shape.v_dim, heads, tokens);
        const Batch b = batch(step.begin, step.end);
        double pairs = 0;
        for (int64_t p = step.begin; p < step.end; ++p) pairs += static_cast<double>(p + 1);
        line(std::string(kind.name) + step.name,
             static_cast<double>(step.end) * static_cast<double>(ops_->kv_page_bytes(shape)) / page,
             2 * pairs * heads * static_cast<double>(shape.k_dim + shape.v_dim), fp32_, [&, this] {
               if (mla) {
                 ops_->mla_attention({.scale = 0.05f}, q, rope, cache, b, y);
               } else {
                 ops_->attention({.scale = 0.05f}, q, cache, b, y);
               }
             });
      }
    }
    release();
  }

  void release() {
    storage_.clear();
    buffers_.clear();
  }

  Options options_;
  std::unique_ptr<Ops> ops_;
  int threads_;
  double bandwidth_ = 0, int8_ = 0, fp32_ = 0;
  std::mt19937 random_{1};
  std::vector<std::vector<uint8_t>> storage_;
  std::vector<Buffer> buffers_;
};

}  // namespace
}  // namespace vitrine

int main(int argc, char** argv) {
  vitrine::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--isa") options.cpu.isa = vitrine::isa_from_name(argv[i + 1]);
    if (flag == "--threads") options.cpu.threads = std::stoi(argv[i + 1]);
    if (flag == "--only") options.only = argv[i + 1];
    if (flag == "--clock") vitrine::processor_time = std::string(argv[i + 1]) == "cpu";
    if (flag == "--seconds") options.seconds = std::stod(argv[i + 1]);
  }
  if (options.cpu.threads == 0) options.cpu.threads = static_cast<int>(std::thread::hardware_concurrency());
  auto ops = vitrine::make_cpu_ops(options.cpu);
  if (!ops) {
    fmt::print(stderr, "{}\n", ops.error().message);
    return 2;
  }
  const int threads = options.cpu.threads;
  vitrine::Bench(std::move(options), std::move(*ops), threads).run();
  return 0;
}
