// The reader against files of PyPI `gguf` (tools/make_gguf_fixtures.py) and what
// that package's own reader found in them; the writer against the reader.
#include "engine/gguf.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "engine/gguf_writer.h"
#include "tests/engine/gguf_bytes.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string golden(const std::string& name) { return VITRINE_SOURCE_DIR "/tests/golden/gguf/" + name; }

json expectation(const std::string& name) { return json::parse(std::ifstream(golden(name) + ".json")); }

json to_json(const GgufValue& value) {
  switch (value.type()) {
    case GgufType::string: return *value.as_string();
    case GgufType::boolean: return *value.as_bool();
    case GgufType::f32:
    case GgufType::f64: return *value.as_real();
    case GgufType::u64: return *value.as_unsigned();
    case GgufType::array: break;
    default: return *value.as_integer();
  }
  if (auto strings = value.as_strings()) return *strings;
  if (auto reals = value.as_reals()) return *reals;
  json out = json::array();
  const auto integers = value.as_integers();
  EXPECT_TRUE(integers.has_value());
  for (const int64_t number : integers.value_or(std::vector<int64_t>{})) {
    out.push_back(value.element_type() == GgufType::boolean ? json(number != 0) : json(number));
  }
  return out;
}

std::string peer_name(GgufType type) {
  constexpr const char* kNames[] = {"UINT8", "INT8",   "UINT16", "INT16",  "UINT32", "INT32",  "FLOAT32",
                                    "BOOL",  "STRING", "ARRAY",  "UINT64", "INT64",  "FLOAT64"};
  return kNames[static_cast<uint32_t>(type)];
}

void expect_equals_peer(const std::string& name) {
  auto map = MappedFile::open(golden(name));
  ASSERT_TRUE(map.has_value()) << map.error().to_string();
  const auto file = GgufFile::parse(map->bytes(), name);
  ASSERT_TRUE(file.has_value()) << file.error().to_string();
  const json peer = expectation(name);
  EXPECT_EQ(file->metadata().size(), peer["metadata"].size());
  for (const GgufEntry& entry : file->metadata()) {
    const std::string key(entry.key);
    ASSERT_TRUE(peer["metadata"].contains(key)) << key;
    EXPECT_EQ(peer_name(entry.value.type()), peer["metadata"][key]["type"][0]) << key;
    EXPECT_EQ(to_json(entry.value), peer["metadata"][key]["value"]) << key;
    EXPECT_EQ(file->find(key), &entry.value);
  }
  EXPECT_EQ(file->tensors().size(), peer["tensors"].size());
  for (const GgufTensor& tensor : file->tensors()) {
    const json& other = peer["tensors"][std::string(tensor.name)];
    EXPECT_EQ(tensor.type.name, other["type"]) << tensor.name;
    EXPECT_EQ(json(std::vector<uint64_t>(tensor.ne.begin(), tensor.ne.begin() + tensor.dimensions)), other["ne"]);
    EXPECT_EQ(tensor.offset, other["offset"]) << tensor.name;
    EXPECT_EQ(to_hex(sha256(map->bytes().subspan(tensor.offset, tensor.bytes))), other["sha256"]) << tensor.name;
  }
}

TEST(Gguf, EveryValueTypeEqualsPeer) { expect_equals_peer("values.gguf"); }
TEST(Gguf, EveryTensorTypeEqualsPeer) { expect_equals_peer("tensors.gguf"); }
TEST(Gguf, PartsEqualPeer) {
  for (const char* part : {"1", "2", "3"}) expect_equals_peer("split-0000" + std::string(part) + "-of-00003.gguf");
}

TEST(Gguf, AccessorsDoNotConvert) {
  GgufBytes bytes;
  bytes.keys = {gguf_u32("u", 7), gguf_key("i", 5, le(static_cast<uint32_t>(-7), 4)), gguf_string("s", "7"),
                gguf_key("b", 7, std::string(1, '\1')), gguf_key("big", 10, le(1ull << 63, 8))};
  const std::string text = bytes.bytes();
  const auto file = GgufFile::parse(as_bytes(text), "x");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->find("u")->as_unsigned(), 7u);
  EXPECT_EQ(file->find("u")->as_real(), std::nullopt);
  EXPECT_EQ(file->find("u")->as_bool(), std::nullopt);
  EXPECT_EQ(file->find("i")->as_unsigned(), std::nullopt);
  EXPECT_EQ(file->find("i")->as_integer(), -7);
  EXPECT_EQ(file->find("s")->as_unsigned(), std::nullopt);
  EXPECT_EQ(file->find("s")->as_string(), "7");
  EXPECT_EQ(file->find("b")->as_unsigned(), std::nullopt);
  EXPECT_EQ(file->find("big")->as_integer(), std::nullopt);
  EXPECT_EQ(file->find("big")->as_unsigned(), 1ull << 63);
  EXPECT_EQ(file->find("none"), nullptr);
}

TEST(Gguf, SplitModelOpensFromAnyPart) {
  for (const char* part : {"1", "2", "3"}) {
    const auto model = GgufModel::open(golden("split-0000" + std::string(part) + "-of-00003.gguf"));
    ASSERT_TRUE(model.has_value()) << model.error().to_string();
    EXPECT_EQ(model->parts(), 3u);
    EXPECT_EQ(model->tensors().size(), 5u);
    EXPECT_EQ(model->find("general.name")->as_string(), "split");
    for (int i = 0; i < 5; ++i) {
      const GgufTensor* tensor = model->find_tensor("blk." + std::to_string(i) + ".attn_norm.weight");
      ASSERT_NE(tensor, nullptr);
      float first = -1;
      std::memcpy(&first, model->data(*tensor).data(), sizeof first);
      EXPECT_EQ(first, static_cast<float>(i));
    }
    EXPECT_EQ(model->find_tensor("blk.5.attn_norm.weight"), nullptr);
  }
}

class SplitFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "vitrine-gguf-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    for (const char* part : {"1", "2", "3"}) copy("split-0000" + std::string(part) + "-of-00003.gguf");
  }
  void TearDown() override { fs::remove_all(folder_); }
  void copy(const std::string& from, const std::string& to = "") {
    fs::copy_file(golden(from), folder_ / (to.empty() ? from : to), fs::copy_options::overwrite_existing);
  }
  std::string error(const std::string& name = "split-00001-of-00003.gguf") {
    const auto model = GgufModel::open((folder_ / name).string());
    return model ? "" : model.error().to_string().substr(folder_.string().size() + 1);
  }
  void replace_in(const std::string& name, const std::string& from, const std::string& to) {
    std::ifstream in(folder_ / name, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, from.size(), to);
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  fs::path folder_;
};

TEST_F(SplitFolder, SoundPartsOpen) { EXPECT_EQ(error(), ""); }

TEST_F(SplitFolder, MissingPartIsNamed) {
  fs::remove(folder_ / "split-00002-of-00003.gguf");
  EXPECT_EQ(error(), "split-00002-of-00003.gguf: cannot open: No such file or directory");
}

TEST_F(SplitFolder, PartThatSaysAnotherNumber) {
  copy("split-00003-of-00003.gguf", "split-00002-of-00003.gguf");
  EXPECT_EQ(error(), "split-00002-of-00003.gguf, key split.no: says part 2 of 3 (from 0); its name says 1 of 3");
}

TEST_F(SplitFolder, RenamedPartIsRefused) {
  copy("split-00001-of-00003.gguf", "model.gguf");
  EXPECT_EQ(error("model.gguf"),
            "model.gguf: a part of a split model must keep its name, NAME-00001-of-00003.gguf, beside the other parts");
}

TEST_F(SplitFolder, TensorInTwoParts) {
  replace_in("split-00003-of-00003.gguf", "blk.4.attn_norm", "blk.0.attn_norm");
  EXPECT_EQ(error(), "split-00003-of-00003.gguf, tensor blk.0.attn_norm.weight: the tensor is also in another part");
}

TEST_F(SplitFolder, TensorCountOfAllParts) {
  replace_in("split-00001-of-00003.gguf", "split.tensors.count" + le(5, 4) + le(5, 4),
             "split.tensors.count" + le(5, 4) + le(6, 4));
  EXPECT_EQ(error(), "split-00001-of-00003.gguf, key split.tensors.count: says 6 tensors, the parts hold 5");
}

TEST(GgufWriter, RoundTrip) {
  std::string out;
  GgufWriter writer(append_to(out), 64);
  writer.add("general.architecture", "llama");
  writer.add("u", uint32_t{7});
  writer.add("i", int32_t{-7});
  writer.add("f", 0.5f);
  writer.add("b", true);
  writer.add("l", uint64_t{1} << 40);
  const std::vector<std::string> words = {"a", "", "b"};
  const std::vector<int32_t> numbers = {1, -1};
  const std::vector<float> scores = {0.25f};
  writer.add("words", std::span<const std::string>(words));
  writer.add("numbers", std::span<const int32_t>(numbers));
  writer.add("scores", std::span<const float>(scores));
  ASSERT_TRUE(writer.add_tensor("a", 2, {64, 3}).has_value());  // 108 bytes: padded
  ASSERT_TRUE(writer.add_tensor("b", 0, {5}).has_value());
  EXPECT_FALSE(writer.add_tensor("c", 2, {33}).has_value());
  EXPECT_FALSE(writer.add_tensor("c", 4, {32}).has_value());
  ASSERT_TRUE(writer.begin_data().has_value());
  EXPECT_FALSE(writer.finish().has_value());  // bytes are missing
  const std::string data(108 + 20, 'd');
  ASSERT_TRUE(writer.write(as_bytes(data.substr(0, 100))).has_value());
  EXPECT_EQ(writer.left(), 8u);
  ASSERT_TRUE(writer.write(as_bytes(data.substr(100))).has_value());  // ends one tensor and fills the next
  EXPECT_TRUE(writer.finish().has_value());
  EXPECT_FALSE(writer.write(as_bytes("x")).has_value());

  const auto file = GgufFile::parse(as_bytes(out), "round");
  ASSERT_TRUE(file.has_value()) << file.error().to_string();
  EXPECT_EQ(file->alignment(), 64u);
  EXPECT_EQ(file->find("u")->as_unsigned(), 7u);
  EXPECT_EQ(file->find("i")->as_integer(), -7);
  EXPECT_EQ(file->find("f")->as_real(), 0.5);
  EXPECT_EQ(file->find("b")->as_bool(), true);
  EXPECT_EQ(file->find("l")->as_unsigned(), uint64_t{1} << 40);
  EXPECT_EQ(file->find("words")->as_strings(), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(file->find("numbers")->as_integers(), (std::vector<int64_t>{1, -1}));
  EXPECT_EQ(file->find("scores")->as_reals(), (std::vector<double>{0.25}));
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].bytes, 108u);
  EXPECT_EQ(file->tensors()[1].offset, file->tensors()[0].offset + 128);
}

}  // namespace
}  // namespace vitrine
