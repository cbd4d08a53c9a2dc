// The engine's thread: fairness, leaving, holding, bounds; with a real (small, random) model.
#include "serve/engine_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>

#include "kernels/cpu/cpu_ops.h"
#include "tests/synthetic/synthetic_model.h"

namespace vitrine::serve {
namespace {

using namespace std::chrono_literals;

// A llama of two narrow layers, written once.
const std::string& model_path() {
  static const std::string path = [] {
    ModelConfig config;
    config.architecture = Architecture::llama;
    config.name = "tiny";
    config.layers = 2;
    config.embedding = 64;
    config.ffn = 128;
    config.heads = 4;
    config.kv_heads = 2;
    config.k_dim = config.v_dim = 16;
    config.rms_eps = 1e-5;
    config.attention_scale = 0.25;
    config.rope.dimensions = 16;
    config.vocabulary = 320;
    config.context = 4096;
    std::string name = ::testing::TempDir() + "tiny-" + std::to_string(getpid()) + ".gguf";
    std::ofstream file(name, std::ios::binary);
    const Status status = write_synthetic_model(config, {.type = Type::f32}, [&](Bytes bytes) -> Status {
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      return {};
    });
    EXPECT_TRUE(status) << status.error().to_string();
    return name;
  }();
  return path;
}

class ServiceTest : public ::testing::Test {
 protected:
  void start(ServiceLimits limits, int64_t cache_tokens = 0) {
    auto ops = make_cpu_ops({.threads = 1, .isa = {}});
    ASSERT_TRUE(ops);
    ops_ = std::move(*ops);
    EngineOptions options;
    options.context = 4096;
    options.sequences = limits.sequences;
    options.cache_tokens = cache_tokens;
    auto engine = Engine::open(model_path(), *ops_, options);
    ASSERT_TRUE(engine) << engine.error().to_string();
    engine_ = std::move(*engine);
    service_ = std::make_unique<EngineService>(*engine_, limits);
  }

  struct Record {
    std::mutex mutex;
    std::vector<std::string> finished;  // names in the order they ended
    std::map<std::string, int> tokens;
    std::map<std::string, FinishReason> how;
    std::map<std::string, std::string> errors;
  };

  Result<JobId> submit(const std::string& name, const std::string& owner, int64_t tokens) {
    Job job;
    job.request.prompt = {1, 2, 3};
    job.request.max_tokens = tokens;
    job.request.ignore_end = true;
    job.request.sampling.temperature = 0;
    job.owner = owner;
    job.on_event = [this, name](JobEvent event) {
      std::lock_guard lock(record_.mutex);
      record_.tokens[name] += static_cast<int>(event.output.tokens.size());
      if (event.output.error) record_.errors[name] = event.output.error->message;
      if (!event.output.finished && !event.output.error) return;
      if (event.output.finished) record_.how[name] = *event.output.finished;
      record_.finished.push_back(name);
    };
    return service_->submit(std::move(job));
  }

  template <class F>
  bool eventually(F condition) {
    for (int i = 0; i < 2000; ++i) {
      {
        std::lock_guard lock(record_.mutex);
        if (condition()) return true;
      }
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  int tokens(const std::string& name) {
    std::lock_guard lock(record_.mutex);
    return record_.tokens[name];
  }

  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Engine> engine_;
  Record record_;
  std::unique_ptr<EngineService> service_;  // ends first
};

TEST_F(ServiceTest, AThousandOfOneKeyDoNotHoldUpAnother) {
  start({.waiting = 1000, .waiting_per_owner = 1000, .sequences = 2});
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(submit("greedy-" + std::to_string(i), "greedy", 30));
  ASSERT_TRUE(submit("modest", "modest", 30));
  ASSERT_TRUE(eventually([&] { return record_.finished.size() == 41; }));
  const auto at = std::find(record_.finished.begin(), record_.finished.end(), "modest");
  EXPECT_LE(at - record_.finished.begin(), 4);
  for (const auto& [name, count] : record_.tokens) EXPECT_EQ(count, 30) << name;
}

// Four keys at once, eight jobs each, two places: the keys take turns, and within a key who came first is served first.
TEST_F(ServiceTest, KeysTakeTurnsAndWithinAKeyItIsWhoCameFirst) {
  start({.waiting = 100, .waiting_per_owner = 100, .sequences = 2});
  const auto first = submit("first", "first", 4000), second = submit("second", "second", 4000);
  ASSERT_TRUE(eventually([&] { return record_.tokens["first"] > 0 && record_.tokens["second"] > 0; }));
  for (const char* key : {"a", "b", "c", "d"}) {
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(submit(key + std::to_string(i), key, 20));
  }
  service_->cancel(*first);
  service_->cancel(*second);
  ASSERT_TRUE(eventually([&] { return record_.finished.size() == 34; }));
  std::map<char, int> done;
  for (size_t i = 2; i < record_.finished.size(); ++i) {
    const std::string& name = record_.finished[i];
    EXPECT_EQ(name, name[0] + std::to_string(done[name[0]])) << "out of its turn";
    ++done[name[0]];
    for (const char other : {'a', 'b', 'c', 'd'}) {
      EXPECT_LE(done[name[0]], done[other] + 2) << name << " before its turn, " << other << " waits";
    }
  }
}

// One key's slow readers: neither its own next request nor other keys wait for them.
TEST_F(ServiceTest, WhoIsHeldKeepsNobodyOutNorTakesAllPlaces) {
  start({.waiting = 100, .waiting_per_owner = 100, .sequences = 2}, 65536);
  std::vector<JobId> slow;
  for (int i = 0; i < 20; ++i) {
    const auto id = submit("slow" + std::to_string(i), "a", 4000);
    ASSERT_TRUE(id);
    service_->hold(*id, true);
    slow.push_back(*id);
  }
  // Three times the places at most are one key's, held ones included; the last is another's.
  ASSERT_TRUE(eventually([&] { return service_->stats().running == 6; }));
  ASSERT_TRUE(submit("other", "b", 20));
  ASSERT_TRUE(eventually([&] { return record_.how.count("other") > 0; }));
  EXPECT_EQ(service_->stats().running, 6u);
  // Its own next one, while keys that have nothing running keep coming.
  for (size_t i = 3; i < slow.size(); ++i) service_->cancel(slow[i]);
  ASSERT_TRUE(eventually([&] { return service_->stats().running == 3; }));
  ASSERT_TRUE(submit("next", "a", 20));
  for (int i = 0; i < 6; ++i) {
    for (const char* key : {"x", "y", "z"}) ASSERT_TRUE(submit(key + std::to_string(i), key, 20));
  }
  ASSERT_TRUE(eventually([&] { return record_.how.count("next") > 0 && record_.how.count("z5") > 0; }));
  const auto place = [&](const char* name) {
    return std::find(record_.finished.begin(), record_.finished.end(), name) - record_.finished.begin();
  };
  EXPECT_LT(place("next"), place("x3"));
  const int before = tokens("slow0");
  service_->hold(slow[0], false);
  EXPECT_TRUE(eventually([&] { return record_.tokens["slow0"] > before; }));
}

// The cache holds two of these answers. Two slow readers have it; who waits for room gets it when their time is over.
TEST_F(ServiceTest, WhoIsHeldForLongGivesUpTheCacheThatOthersNeed) {
  start({.sequences = 2, .held = 300ms}, 8192);
  for (const char* name : {"slow", "slower"}) {
    const auto id = submit(name, "a", 4000);
    ASSERT_TRUE(eventually([&] { return record_.tokens[name] > 0; }));
    service_->hold(*id, true);
  }
  std::this_thread::sleep_for(400ms);  // nobody waits: they may stay
  EXPECT_EQ(service_->stats().running, 2u);
  ASSERT_TRUE(submit("other", "b", 3000));
  ASSERT_TRUE(eventually([&] { return record_.how.count("other") > 0; }));
  EXPECT_EQ(tokens("other"), 3000);
  EXPECT_EQ(record_.errors.size(), 1u);
  EXPECT_THAT(record_.errors["slow"], testing::HasSubstr("read too slowly"));
  EXPECT_EQ(service_->stats().running, 1u);
}

TEST_F(ServiceTest, WhoLeavesStops) {
  start({.sequences = 1});
  const auto running = submit("running", "a", 4000), waiting = submit("waiting", "a", 10);
  ASSERT_TRUE(eventually([&] { return record_.tokens["running"] > 0; }));
  service_->cancel(*waiting);
  ASSERT_TRUE(eventually([&] { return record_.finished.size() == 1; }));
  service_->cancel(*running);
  service_->cancel(12345);  // nobody's
  ASSERT_TRUE(eventually([&] { return record_.finished.size() == 2; }));
  EXPECT_EQ(record_.finished, (std::vector<std::string>{"waiting", "running"}));
  EXPECT_EQ(record_.how["running"], FinishReason::cancelled);
  EXPECT_LT(tokens("running"), 4000);
  EXPECT_EQ(tokens("waiting"), 0);
  EXPECT_EQ(service_->stats().cancelled, 2u);
  ASSERT_TRUE(submit("next", "a", 5));
  ASSERT_TRUE(eventually([&] { return record_.how.count("next") > 0; }));
}

TEST_F(ServiceTest, AHeldOneWaitsAndOthersGoOn) {
  start({.sequences = 1});
  const auto slow = submit("slow", "a", 500);
  ASSERT_TRUE(eventually([&] { return record_.tokens["slow"] > 2; }));
  service_->hold(*slow, true);
  ASSERT_TRUE(submit("other", "b", 200));
  ASSERT_TRUE(eventually([&] { return record_.how.count("other") > 0; }));
  const int held_at = tokens("slow");
  const uint64_t steps = service_->stats().steps;
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(tokens("slow"), held_at);
  EXPECT_LE(service_->stats().steps, steps + 1) << "nothing to do, and yet the thread spins";
  service_->hold(*slow, false);
  ASSERT_TRUE(eventually([&] { return record_.how.count("slow") > 0; }));
  EXPECT_EQ(tokens("slow"), 500);
}

TEST_F(ServiceTest, TheQueueIsBoundedForAllAndForEach) {
  start({.waiting = 3, .waiting_per_owner = 2, .sequences = 1});
  const auto first = submit("first", "a", 4000);
  ASSERT_TRUE(eventually([&] { return record_.tokens["first"] > 0; }));
  EXPECT_TRUE(submit("a1", "a", 1));
  EXPECT_TRUE(submit("a2", "a", 1));
  EXPECT_EQ(submit("a3", "a", 1).error().code, ErrorCode::limit);
  EXPECT_TRUE(submit("b1", "b", 1));
  EXPECT_FALSE(submit("b2", "b", 1));
  EXPECT_EQ(service_->stats().refused, 2u);
  service_->cancel(*first);
  ASSERT_TRUE(eventually([&] { return record_.finished.size() == 4; }));
  EXPECT_TRUE(submit("b2", "b", 1));
}

// The cache holds one long answer at a time: the second waits for pages, and comes.
TEST_F(ServiceTest, WhoFindsNoRoomInTheCacheWaits) {
  start({.sequences = 4}, 512);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(submit("job" + std::to_string(i), "a", 300));
  ASSERT_TRUE(eventually([&] { return record_.finished.size() == 6; }));
  for (const auto& [name, count] : record_.tokens) EXPECT_EQ(count, 300) << name;
}

TEST_F(ServiceTest, WhatTheEngineRefusesComesAsAnError) {
  start({.sequences = 1});
  Job job;
  std::promise<Error> refused;
  job.on_event = [&](JobEvent event) { refused.set_value(*event.output.error); };
  job.request.prompt = std::vector<TokenId>(5000, 1);
  ASSERT_TRUE(service_->submit(std::move(job)));
  EXPECT_EQ(refused.get_future().get().code, ErrorCode::limit);
}

TEST_F(ServiceTest, EndingTellsEverybody) {
  start({.sequences = 1});
  ASSERT_TRUE(submit("running", "a", 4000));
  ASSERT_TRUE(submit("waiting", "a", 4000));
  ASSERT_TRUE(eventually([&] { return record_.tokens["running"] > 0; }));
  service_.reset();
  EXPECT_EQ(record_.errors.size(), 2u);
}

}  // namespace
}  // namespace vitrine::serve
