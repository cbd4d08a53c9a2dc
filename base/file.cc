#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

namespace vitrine {
namespace {

std::string reason(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

// An unlinked file: gone with its last descriptor, whatever happens to us.
int open_unlinked() {
  const char* folder = std::getenv("TMPDIR");
  std::string name = std::string(folder && *folder ? folder : "/tmp") + "/vitrine-XXXXXX";
  const int descriptor = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor >= 0) unlink(name.c_str());
  return descriptor;
}

bool write_all(int descriptor, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(descriptor, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path, FileAccess access) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail(ErrorCode::unreadable, reason("cannot open"), path);
  struct stat status {};
  if (fstat(file.fd, &status) != 0) return fail(ErrorCode::unreadable, reason("cannot stat"), path);
  if (S_ISDIR(status.st_mode)) return fail(ErrorCode::unreadable, "is a folder, not a file", path);
  const bool random = access == FileAccess::random;
  if (random && !S_ISREG(status.st_mode)) return fail(ErrorCode::unreadable, "is no regular file", path);
  MappedFile out;
  out.path_ = path;
  uint8_t magic[2] = {};
  const bool gzip = pread(file.fd, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
  int source = file.fd;
  Descriptor inflated{-1};
  if (!random && (gzip || !S_ISREG(status.st_mode))) {
    // gzread passes bytes that are not gzip through unchanged: pipes work too.
    inflated.fd = open_unlinked();
    if (inflated.fd < 0) return fail(ErrorCode::unreadable, reason("cannot create a temporary file"), path);
    gzFile in = gzdopen(dup(file.fd), "rb");
    if (in == nullptr) return fail(ErrorCode::unreadable, "cannot read as gzip", path);
    gzbuffer(in, 1 << 17);
    std::vector<char> buffer(1 << 18);
    for (;;) {
      const int n = gzread(in, buffer.data(), static_cast<unsigned>(buffer.size()));
      if (n > 0 && !write_all(inflated.fd, buffer.data(), static_cast<size_t>(n))) {
        gzclose(in);
        return fail(ErrorCode::unreadable, reason("cannot write the inflated copy"), path);
      }
      if (n < static_cast<int>(buffer.size())) {
        out.truncated_gzip_ = n < 0 || gzeof(in) == 0;
        if (n <= 0) break;
      }
    }
    if (gzclose_r(in) != Z_OK) out.truncated_gzip_ = true;
    out.was_gzip_ = gzip;
    source = inflated.fd;
    if (fstat(source, &status) != 0) return fail(ErrorCode::unreadable, reason("cannot stat"), path);
  }
  if (status.st_size > 0) {
    if (!random) out.descriptor_ = fcntl(source, F_DUPFD_CLOEXEC, 0);
    void* mapping = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, source, 0);
    if (mapping == MAP_FAILED) return fail(ErrorCode::unreadable, reason("cannot map"), path);
    madvise(mapping, static_cast<size_t>(status.st_size), random ? MADV_NORMAL : MADV_SEQUENTIAL);
    out.bytes_ = {static_cast<const uint8_t*>(mapping), static_cast<size_t>(status.st_size)};
  }
  return out;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
  if (descriptor_ >= 0) ::close(descriptor_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(released_, other.released_);
  std::swap(ahead_, other.ahead_);
  std::swap(was_gzip_, other.was_gzip_);
  std::swap(truncated_gzip_, other.truncated_gzip_);
  return *this;
}

size_t MappedFile::read_at(uint64_t offset, std::span<uint8_t> out) const {
  if (offset >= bytes_.size()) return 0;
  out = out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), bytes_.size() - offset)));
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

void MappedFile::release_before(uint64_t end) {
  constexpr uint64_t kStep = 8 << 20;  // one system call per 8 MiB
  end = std::min<uint64_t>(end, bytes_.size()) / kStep * kStep;
  if (end <= released_) return;
  drop_pages(released_, end);
  released_ = end;
}

void MappedFile::read_ahead(uint64_t position) {
#ifdef MADV_POPULATE_READ
  constexpr uint64_t kWindow = 8 << 20, kPage = 4096;
  const bool near = position < ahead_ && ahead_ - position <= kWindow;
  if (near && ahead_ - position >= kWindow / 2) return;
  const uint64_t begin = (near ? ahead_ : position) / kPage * kPage;
  const uint64_t end = std::min<uint64_t>(position + kWindow, bytes_.size());
  if (begin >= end) return;
  madvise(const_cast<uint8_t*>(bytes_.data()) + begin, end - begin, MADV_POPULATE_READ);  // a hint: may fail
  ahead_ = end;
#else
  (void)position;
#endif
}

void MappedFile::drop_pages(uint64_t begin, uint64_t end) {
  constexpr uint64_t kPage = 4096;
  begin = (begin + kPage - 1) / kPage * kPage;
  end = std::min<uint64_t>(end, bytes_.size()) / kPage * kPage;
  if (begin < end) madvise(const_cast<uint8_t*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

SpillBuffer::SpillBuffer(size_t memory_bound) : memory_bound_(memory_bound) {}
SpillBuffer::SpillBuffer(size_t memory_bound, std::string memory)
    : memory_(std::move(memory)), memory_bound_(memory_bound) {
  memory_.clear();
}
SpillBuffer::~SpillBuffer() { clear(); }
SpillBuffer::SpillBuffer(SpillBuffer&& other) noexcept : memory_bound_(other.memory_bound_) {
  *this = std::move(other);
}

SpillBuffer& SpillBuffer::operator=(SpillBuffer&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(memory_bound_, other.memory_bound_);
  std::swap(size_, other.size_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Status SpillBuffer::append(Bytes bytes) {
  unmap();
  const char* data = reinterpret_cast<const char*>(bytes.data());
  if (descriptor_ < 0 && memory_.size() + bytes.size() <= memory_bound_) {
    memory_.append(data, bytes.size());
    size_ += bytes.size();
    return {};
  }
  if (descriptor_ < 0) {
    descriptor_ = open_unlinked();
    if (descriptor_ < 0) return fail(ErrorCode::limit, reason("cannot create a spill file"));
    if (!write_all(descriptor_, memory_.data(), memory_.size())) return fail(ErrorCode::limit, reason("cannot spill"));
    std::string().swap(memory_);
  }
  if (!write_all(descriptor_, data, bytes.size())) return fail(ErrorCode::limit, reason("cannot spill"));
  size_ += bytes.size();
  return {};
}

Bytes SpillBuffer::view() {
  if (descriptor_ < 0) return as_bytes(memory_);
  if (mapping_ == nullptr && size_ > 0) {
    void* mapping = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapping == MAP_FAILED) return {};
    mapping_ = mapping;
    mapped_ = size_;
  }
  return {static_cast<const uint8_t*>(mapping_), static_cast<size_t>(mapped_)};
}

Status SpillBuffer::read(uint64_t offset, uint64_t length, const std::function<Status(std::string_view)>& each) const {
  if (descriptor_ < 0) return each(std::string_view(memory_).substr(offset, length));
  std::string piece(static_cast<size_t>(std::min<uint64_t>(length, 1 << 20)), '\0');
  while (length > 0) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(length, piece.size()));
    const ssize_t got = ::pread(descriptor_, piece.data(), want, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(ErrorCode::limit, reason("cannot read what was spilled"));
    if (Status status = each(std::string_view(piece).substr(0, static_cast<size_t>(got))); !status) return status;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return {};
}

void SpillBuffer::unmap() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
  mapping_ = nullptr;
  mapped_ = 0;
}

void SpillBuffer::clear() {
  unmap();
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  memory_.clear();
  size_ = 0;
}

std::string SpillBuffer::take_memory() {
  clear();
  return std::exchange(memory_, {});
}

Result<std::string> read_file(const std::string& path, uint64_t bound) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail(ErrorCode::unreadable, reason("cannot open"), path);
  std::string out;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(ErrorCode::unreadable, reason("cannot read"), path);
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > bound) {
      return fail(ErrorCode::limit, "larger than " + std::to_string(bound) + " bytes", path);
    }
    out.append(buffer, static_cast<size_t>(n));
  }
}

Status write_file(const std::string& path, std::string_view content) {
  std::string temporary = path + ".XXXXXX";
  Descriptor file{mkostemp(temporary.data(), O_CLOEXEC)};  // created 0600
  if (file.fd < 0) return fail(ErrorCode::unreadable, reason("cannot create"), path);
  if (!write_all(file.fd, content.data(), content.size()) || rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = reason("cannot write");
    unlink(temporary.c_str());
    return fail(ErrorCode::unreadable, why, path);
  }
  return {};
}

}  // namespace vitrine
