#include "capture/record/recording_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "capture/record/pcapng_writer.h"

namespace vitrine {
namespace {

constexpr size_t kSecretsPerBlock = 1 << 20;
constexpr uint32_t kPacketBlock = 6;

Timestamp now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return {time.tv_sec * 1'000'000'000 + time.tv_nsec};
}

std::string secret_blocks(const std::string& key_log) {
  std::string out;
  for (size_t at = 0; at < key_log.size();) {
    size_t end =
        key_log.size() - at <= kSecretsPerBlock ? key_log.size() : key_log.rfind('\n', at + kSecretsPerBlock) + 1;
    if (end <= at) end = key_log.size();
    append_tls_secrets(out, std::string_view(key_log).substr(at, end - at));
    at = end;
  }
  return out;
}

bool write_all(std::FILE* out, std::string_view bytes) {
  return std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size();
}

// Whole blocks from the front of a file that end at or before `bound`.
struct WholeBlocks {
  uint64_t end = 0, packets = 0;
};
WholeBlocks whole_blocks(int descriptor, uint64_t bound) {
  WholeBlocks blocks;
  uint32_t header[2];  // type, length; written in this machine's order
  while (pread(descriptor, header, sizeof header, static_cast<off_t>(blocks.end)) == sizeof header) {
    if (header[1] < 12 || header[1] % 4 != 0 || header[1] > bound - blocks.end) break;
    blocks.end += header[1];
    if (header[0] == kPacketBlock) ++blocks.packets;
    if (blocks.end == bound) break;
  }
  return blocks;
}

}  // namespace

RecordingFile::RecordingFile(const RecordOptions& options, uint16_t link_type)
    : options_(options), partial_(options.output + ".partial") {
  append_section_header(head_, "vitrine", options.comments);
  append_interface(head_, link_type, options.snap_length, options.interface);
  const int descriptor = open(partial_.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  packets_ = fdopen(descriptor, "wb");
  std::setvbuf(packets_, nullptr, _IOFBF, 1 << 20);
  write_all(packets_, head_);  // a failure shows when the buffer is written
}

RecordingFile::~RecordingFile() {
  if (packets_ != nullptr) std::fclose(packets_);
  unlink(partial_.c_str());
}

Status RecordingFile::complete(const std::string& key_log, const std::vector<FlowComment>& flows,
                               RecordSummary& summary) {
  std::vector<std::string> comments;
  for (const FlowComment& flow : flows) comments.push_back(to_string(flow));
  std::string statistics;
  append_statistics(statistics, 0, now(), summary.packets, summary.dropped_kernel + summary.dropped_interface,
                    comments);
  const std::string secrets = secret_blocks(key_log);
  const bool before = std::ferror(packets_) == 0;
  const bool written = std::fclose(packets_) == 0 && before;
  packets_ = nullptr;
  if (written && assemble(secrets, statistics)) return {};
  const int why = errno;
  if (salvage(secrets + statistics, summary)) return {};
  return fail(ErrorCode::unreadable, std::string("cannot write: ") + std::strerror(why), options_.output);
}

bool RecordingFile::assemble(const std::string& secrets, const std::string& statistics) {
  std::string temporary = options_.output + ".XXXXXX";
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0) return false;
  std::FILE* out = fdopen(descriptor, "wb");
  std::FILE* in = std::fopen(partial_.c_str(), "rb");
  bool ok = in != nullptr && std::fseek(in, static_cast<long>(head_.size()), SEEK_SET) == 0 && write_all(out, head_) &&
            write_all(out, secrets);
  std::vector<char> buffer(1 << 20);
  while (ok) {
    const size_t n = std::fread(buffer.data(), 1, buffer.size(), in);
    if (n == 0) break;
    ok = write_all(out, {buffer.data(), n});
  }
  ok = ok && write_all(out, statistics);
  if (in != nullptr) std::fclose(in);
  ok = std::fclose(out) == 0 && ok && rename(temporary.c_str(), options_.output.c_str()) == 0;
  const int why = errno;
  if (!ok) unlink(temporary.c_str());
  errno = why;
  return ok;
}

// Blocks are cut off the end of the packets until the tail has room.
bool RecordingFile::salvage(const std::string& tail, RecordSummary& summary) {
  const int descriptor = open(partial_.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return false;
  struct stat status {};
  const bool known = fstat(descriptor, &status) == 0;
  const auto size = known ? static_cast<uint64_t>(status.st_size) : 0;
  const WholeBlocks kept = whole_blocks(descriptor, size > tail.size() ? size - tail.size() : 0);
  bool ok = kept.packets > 0 && ftruncate(descriptor, static_cast<off_t>(kept.end)) == 0;
  for (size_t done = 0; ok && done < tail.size();) {
    const ssize_t n = pwrite(descriptor, tail.data() + done, tail.size() - done, static_cast<off_t>(kept.end + done));
    ok = n > 0;
    if (ok) done += static_cast<size_t>(n);
  }
  ok = close(descriptor) == 0 && ok && rename(partial_.c_str(), options_.output.c_str()) == 0;
  if (!ok) return false;
  summary.disk_full = true;
  summary.packets = kept.packets;
  return true;
}

}  // namespace vitrine
