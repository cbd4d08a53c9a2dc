// safetensors files and their index: what parses lies in the file, without
// overlap; what an index names is a plain file name.
#include <cstdlib>

#include "engine/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vitrine::Bytes bytes(data, size);
  if (const auto model = vitrine::SafetensorsModel::from_bytes(bytes, "fuzz")) {
    uint64_t end = 0;
    for (const auto& tensor : model->tensors()) {
      const auto content = vitrine::slice(bytes, tensor.offset, tensor.bytes);
      if (!content || tensor.offset < end) std::abort();
      end = tensor.offset + tensor.bytes;
      if (model->data(tensor).data() != content->data() || model->find(tensor.name) != &tensor) std::abort();
      uint64_t elements = 1;
      for (const uint64_t n : tensor.shape) elements *= n;
      if (elements * vitrine::safetensors_type_bytes(tensor.type) != tensor.bytes) std::abort();
    }
  } else if (model.error().where.empty()) {
    std::abort();  // an error names its file
  }
  if (const auto index = vitrine::SafetensorsIndex::parse(vitrine::as_text(bytes), "fuzz")) {
    for (const std::string& file : index->files) {
      if (file.find_first_of("/\\\n") != std::string::npos || file == "." || file == "..") std::abort();
    }
    for (const auto& [name, file] : index->tensors) {
      if (file >= index->files.size()) std::abort();
    }
  }
  return 0;
}
