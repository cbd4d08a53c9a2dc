// Cuts one direction's raw stream into TLS records, whatever the chunks, and
// finds the next record header after a gap or damage.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "capture/tls/record_cipher.h"
#include "capture/types.h"

namespace vitrine::tls {

struct FramerEvent {
  enum class Kind : uint8_t {
    record,   // `bytes`: one whole record with its header
    skipped,  // `count` bytes that belong to no readable record, for `cause`
    need_more,
  };
  Kind kind = Kind::need_more;
  Bytes bytes;
  uint64_t offset = 0;  // of the first byte in the raw stream
  uint64_t count = 0;
  Cause cause = Cause::malformed;
  std::string_view what;  // of an issue to report; may be empty
};

// What a gap did to the framing.
struct GapEffect {
  bool inside_record = false;  // exactly one record was hit and framing goes on behind it
  uint8_t record_type = 0;     // of that record
  uint64_t record_size = 0;
  uint64_t dropped = 0;  // bytes already received that the gap made useless
};

// Memory: at most kLookahead bytes, and less than a record when in step.
class RecordFramer {
 public:
  static constexpr size_t kLookahead = 3 * (kHeaderSize + kMaxCiphertext12) + kHeaderSize;

  // `opens` is asked while searching whether a candidate record can be opened:
  // one that does is certain, else three consistent headers in a row are asked for.
  RecordFramer(uint64_t offset, std::function<bool(Bytes)> opens) : offset_(offset), opens_(std::move(opens)) {}

  // REQUIRES: the last input was drained (peek gave need_more) or taken back by
  // rest(). `input` must stay valid until then.
  void push(Bytes input) { input_ = input; }
  Bytes rest();  // input not yet consumed; forgotten here
  // A record event comes again until pop(); a skipped event must be popped at once.
  FramerEvent peek();
  void pop();  // consumes the event that peek() returned
  GapEffect gap(uint64_t length, Cause cause);
  void finish() { finishing_ = true; }

  bool searching() const { return searching_; }

 private:
  enum class Verdict : uint8_t { reject, undecided, accept };

  size_t available() const { return buffer_.size() - read_ + input_.size(); }
  Bytes front(size_t wanted);  // up to `wanted` contiguous bytes
  void consume(size_t count);
  FramerEvent search();
  Verdict judge(Bytes window, uint64_t offset);
  FramerEvent skip(uint64_t count, Cause cause, std::string_view what = {});
  void lose_step(Cause cause, std::string_view what);

  std::vector<uint8_t> buffer_;
  size_t read_ = 0;
  Bytes input_;
  uint64_t offset_;  // of the next byte
  std::function<bool(Bytes)> opens_;
  uint64_t skip_ = 0;  // rest of a record hit by a gap
  Cause skip_cause_ = Cause::gap;
  bool searching_ = false;
  Cause search_cause_ = Cause::gap;
  std::string_view search_what_;
  uint64_t search_from_ = 0;
  uint64_t tried_ = 0;         // raw offset + 1 of the last candidate that opens_ refused
  bool in_step_once_ = false;  // a record was read
  bool finishing_ = false;
  size_t pending_ = 0;  // bytes that pop() consumes
};

}  // namespace vitrine::tls
