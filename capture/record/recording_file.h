// The pcapng that a recording becomes. Packets go to FILE.partial, itself a
// pcapng; when they are all there, FILE is put together from it with the secrets
// before all data, so that one-pass readers can decrypt.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/record/flow_comment.h"
#include "capture/record/recorder.h"

namespace vitrine {

class RecordingFile {
 public:
  // Creates FILE.partial, mode 0600; ok() tells (errno says why not).
  RecordingFile(const RecordOptions& options, uint16_t link_type);
  ~RecordingFile();  // removes FILE.partial
  RecordingFile(const RecordingFile&) = delete;
  RecordingFile& operator=(const RecordingFile&) = delete;

  bool ok() const { return packets_ != nullptr; }
  std::FILE* packets() { return packets_; }  // enhanced packet blocks are appended to it

  // Makes FILE. Where the disk has no room, FILE is what was recorded until then,
  // with its secrets at the end: summary.disk_full is set, and its packets counted again.
  Status complete(const std::string& key_log, const std::vector<FlowComment>& flows, RecordSummary& summary);

 private:
  bool assemble(const std::string& secrets, const std::string& statistics);
  bool salvage(const std::string& tail, RecordSummary& summary);

  const RecordOptions& options_;
  const std::string partial_;
  std::string head_;  // section header and interface
  std::FILE* packets_ = nullptr;
};

}  // namespace vitrine
