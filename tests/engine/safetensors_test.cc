// Against files of PyPI `safetensors` (tools/make_safetensors_fixtures.py); then
// files that lie.
#include "engine/safetensors.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "tests/engine/gguf_bytes.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string golden(const std::string& name) { return VITRINE_SOURCE_DIR "/tests/golden/safetensors/" + name; }

TEST(Safetensors, EveryTypeEqualsPeer) {
  const auto model = SafetensorsModel::open(golden("types.safetensors"));
  ASSERT_TRUE(model.has_value()) << model.error().to_string();
  const json peer = json::parse(std::ifstream(golden("types.safetensors.json")));
  EXPECT_EQ(model->tensors().size(), peer.size());
  for (const auto& [name, other] : peer.items()) {
    const SafetensorsTensor* tensor = model->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(safetensors_type_name(tensor->type), other["dtype"]) << name;
    EXPECT_EQ(json(tensor->shape), other["shape"]) << name;
    EXPECT_EQ(to_hex(sha256(model->data(*tensor))), other["sha256"]) << name;
  }
}

TEST(Safetensors, ShardsByFolderIndexOrFile) {
  for (const char* path : {"sharded", "sharded/model.safetensors.index.json"}) {
    const auto model = SafetensorsModel::open(golden(path));
    ASSERT_TRUE(model.has_value()) << model.error().to_string();
    EXPECT_EQ(model->files(), 2u);
    ASSERT_NE(model->find("a"), nullptr);
    ASSERT_NE(model->find("c"), nullptr);
    EXPECT_EQ(model->find("d"), nullptr);
    float last = 0;
    std::memcpy(&last, model->data(*model->find("a")).data() + 20, 4);
    EXPECT_EQ(last, 5.0f);
  }
  const auto one = SafetensorsModel::open(golden("sharded/model-00002-of-00002.safetensors"));
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->find("a"), nullptr);
}

// ---- files that lie -------------------------------------------------------

std::string file_of(const std::string& header, size_t data) {
  return le(header.size(), 8) + header + std::string(data, 'x');
}

std::string error_of(const std::string& header, size_t data) {
  const std::string text = file_of(header, data);
  const std::vector<uint8_t> exact(text.begin(), text.end());  // a sanitizer sees the first byte behind it
  const auto parsed = SafetensorsFile::parse(exact, "bad");
  return parsed ? "" : parsed.error().to_string();
}

std::string tensor(const std::string& name, const std::string& type, const std::string& shape, uint64_t begin,
                   uint64_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape + ",\"data_offsets\":[" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string header_of(std::initializer_list<std::string> tensors) {
  std::string out;
  for (const std::string& one : tensors) {
    out += out.empty() ? '{' : ',';
    out += one;
  }
  out += '}';
  return out;
}

TEST(SafetensorsHostile, SoundFileParses) {
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[2]", 0, 8)}) + "   ", 8), "");
  EXPECT_EQ(error_of("{}", 0), "");
}

TEST(SafetensorsHostile, HeaderLength) {
  const auto error = [](const std::string& text) {
    const auto parsed = SafetensorsFile::parse(as_bytes(text), "bad");
    return parsed ? std::string() : parsed.error().to_string();
  };
  EXPECT_EQ(error("1234567"), "bad: too short for a safetensors file");
  EXPECT_EQ(error(le(~uint64_t{0}, 8) + "{}"), "bad: a header of 18446744073709551615 bytes: at most 100000000");
  EXPECT_EQ(error(le(100, 8) + "{}"), "bad: the file ends inside its header of 100 bytes");
  EXPECT_EQ(error(le(0, 8) + "{}"), "bad: no safetensors file: its header does not begin with {");
  EXPECT_EQ(error_of("[]", 0), "bad: no safetensors file: its header does not begin with {");
}

TEST(SafetensorsHostile, SizesAndOffsets) {
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[4]", 0, 16)}), 8),
            "bad, tensor a: its 16 bytes at offset 0 are not in the file: 8 bytes of data are there");
  EXPECT_EQ(error_of(header_of({tensor("a", "U8", "[0]", ~uint64_t{0}, ~uint64_t{0})}), 8),
            "bad, tensor a: its 0 bytes at offset 18446744073709551615 are not in the file: 8 bytes of data are there");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[2]", 0, 4)}), 8),
            "bad, tensor a: dtype and shape ask for 8 bytes, data_offsets give 4");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[2]", 8, 0)}), 8),
            "bad, tensor a: data_offsets end before they begin");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[4611686018427387904,8]", 0, 0)}), 8),
            "bad, tensor a: shape multiplies to more than 64 bits");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[-1]", 0, 0)}), 8),
            "bad, tensor a: shape is no list of up to 8 numbers");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4)}), 4),
            "bad, tensor a: shape is no list of up to 8 numbers");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[1.5]", 0, 4)}), 4),
            "bad, tensor a: shape is no list of up to 8 numbers");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[99999999999999999999]", 0, 4)}), 4),
            "bad, tensor a: shape is no list of up to 8 numbers");
}

TEST(SafetensorsHostile, OverlapsHolesAndRests) {
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[2]", 0, 8), tensor("b", "F32", "[2]", 4, 12)}), 12),
            "bad, tensor b: overlaps the tensor before it: begins at 4, expected 8");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[1]", 0, 4), tensor("b", "F32", "[1]", 8, 12)}), 12),
            "bad, tensor b: leaves a hole before it: begins at 8, expected 4");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[1]", 4, 8)}), 8),
            "bad, tensor a: leaves a hole before it: begins at 4, expected 0");
  EXPECT_EQ(error_of(header_of({tensor("a", "F32", "[1]", 0, 4)}), 8),
            "bad: 4 bytes behind the last tensor belong to none");
}

TEST(SafetensorsHostile, Duplicates) {
  EXPECT_EQ(error_of(header_of({tensor("a", "U8", "[1]", 0, 1), tensor("a", "U8", "[1]", 1, 2)}), 2),
            "bad, tensor a: the tensor comes twice");
  EXPECT_EQ(error_of(header_of({tensor("a", "U8", "[1]", 0, 1), tensor("\\u0061", "U8", "[1]", 1, 2)}), 2),
            "bad, tensor a: the tensor comes twice");  // the same name, escaped
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}})", 1),
            "bad, tensor a: unexpected key dtype");
}

TEST(SafetensorsHostile, HeadersThatAreNoHeaders) {
  EXPECT_EQ(error_of(R"({"a":1})", 0), "bad, tensor a: is no JSON object");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1), "bad, tensor a: dtype F4");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[1]}})", 1), "bad, tensor a: lacks dtype, shape or data_offsets");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1),
            "bad, tensor a: data_offsets is no pair of numbers");
  EXPECT_EQ(error_of("{", 0), "bad, header: is no well-formed JSON");
  EXPECT_EQ(error_of("{} {}", 0), "bad, header: is no well-formed JSON");
  EXPECT_EQ(error_of("{\"__metadata__\":" + std::string(100000, '['), 0), "bad, header: is nested too deeply");
}

std::string index_error(const std::string& text) {
  const auto index = SafetensorsIndex::parse(text, "index.json");
  return index ? "" : index.error().to_string();
}

// CVE-2024-37032, CVE-2026-7020: a name in a downloaded file opens files elsewhere.
TEST(SafetensorsHostile, PathTraversal) {
  for (const char* name : {"../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", ".hidden", "",
                           "a\\\\b.safetensors", "a\\u0000b", "a\\nb", "\xef\xbc\x8f.safetensors"}) {
    const std::string error = index_error(R"({"weight_map":{"t":")" + std::string(name) + "\"}}");
    EXPECT_NE(error.find("is no plain file name; files outside the model's folder are not opened"), std::string::npos)
        << name << ": " << error;
    EXPECT_EQ(error.rfind("index.json, weight_map/t: ", 0), 0u) << error;
  }
  EXPECT_EQ(index_error(R"({"weight_map":{"t":"model-00001-of-00002.safetensors"}})"), "");
}

TEST(SafetensorsHostile, Indexes) {
  EXPECT_EQ(index_error("[]"), "index.json, index: is no JSON object");
  EXPECT_EQ(index_error("{}"), "index.json, weight_map: lists no tensor");
  EXPECT_EQ(index_error(R"({"weight_map":{"a":1}})"), "index.json, weight_map/a: names no file");
  EXPECT_EQ(index_error(R"({"weight_map":{"a":"x","a":"y"}})"), "index.json, weight_map/a: the tensor comes twice");
  EXPECT_EQ(index_error(R"({"weight_map":{"a":"x"},"weight_map":{"b":"x"}})"), "index.json, weight_map: comes twice");
  EXPECT_EQ(index_error(R"({"weight_map":{"a":"x"})"), "index.json, index: is no well-formed JSON");
}

class ShardFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "vitrine-shards-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::copy(golden("sharded"), folder_, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write_index(const std::string& text) { std::ofstream(folder_ / "model.safetensors.index.json") << text; }
  std::string error() {
    const auto model = SafetensorsModel::open(folder_.string());
    return model ? "" : model.error().to_string().substr(folder_.string().size() + 1);
  }
  fs::path folder_;
};

TEST_F(ShardFolder, MissingShardAndTensors) {
  EXPECT_EQ(error(), "");
  write_index(R"({"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  EXPECT_EQ(error(), "model.safetensors.index.json, weight_map: lists 2 tensors, its files hold 3");
  write_index(R"({"weight_map":{"b":"model-00001-of-00002.safetensors","a":"model-00002-of-00002.safetensors"}})");
  EXPECT_EQ(error(),
            "model.safetensors.index.json, weight_map/b: is not in model-00001-of-00002.safetensors, "
            "where the index says it is");
  write_index(R"({"weight_map":{"a":"model-00009-of-00009.safetensors"}})");
  EXPECT_EQ(error(), "model-00009-of-00009.safetensors: cannot open: No such file or directory");
}

TEST_F(ShardFolder, TensorInTwoFiles) {
  fs::copy_file(folder_ / "model-00001-of-00002.safetensors", folder_ / "z.safetensors");
  write_index(R"({"weight_map":{"a":"model-00001-of-00002.safetensors","b":"z.safetensors"}})");
  EXPECT_EQ(error(), "z.safetensors, tensor a: the tensor is also in another file");
}

// Pickles run code when they are read; here they are bytes that are no header, under any name.
TEST_F(ShardFolder, PicklesAreNotRead) {
  using namespace std::string_literals;
  const std::string bytes = "\x80\x04\x95\x1d\0\0\0\0\0\0\0cposix\nsystem\n(S'id'\ntR."s;
  for (const char* name : {"pytorch_model.bin", "model-00001-of-00002.safetensors"}) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    write_index(std::string(R"({"weight_map":{"a":")") + name + "\"}}");
    EXPECT_EQ(error(), std::string(name) + ": a header of 496305280 bytes: at most 100000000");
  }
}

TEST(Safetensors, FolderWithoutModel) {
  const auto model = SafetensorsModel::open(golden(".."));
  ASSERT_FALSE(model.has_value());
  EXPECT_NE(model.error().message.find("holds neither model.safetensors.index.json nor model.safetensors"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine
