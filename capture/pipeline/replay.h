// `vitrine origin`: from an origin id back to the bytes of the recording. The
// input is read again; the chain is rebuilt from packets up, every stateless
// step is applied again, and its output is compared with what the run saw.
//
// Values of the connection itself (exchange ordinal 0) are read again from where
// they stand: addresses and ports from the header of the first packet, names
// asked for from the DNS message, properties of a TLS handshake by parsing its
// message once more (a protected one after it was opened again; its bytes in
// the file are the ciphertext).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "capture/field.h"
#include "capture/origin.h"
#include "capture/pipeline/input.h"

namespace vitrine {

// A run of bytes of the file that the value's plaintext (or, under TLS, the
// records that carried it) came in.
struct PacketBytes {
  uint64_t packet = 0;       // 1-based; 0 for files that have no packets
  uint64_t file_offset = 0;  // in the uncompressed file
  uint64_t length = 0;
  uint64_t stream_offset = 0;  // of the first byte in the raw stream
};

struct ReplayStep {
  std::string decoder;              // "http1-head", "hpack", "gzip", "json" …
  uint64_t offset = 0, length = 0;  // span in the output of the step before
  std::string output;               // of this step, applied again
  std::string error;                // why it could not be
};

struct Replay {
  OriginRef origin;
  std::string url, method, path, value;  // the field
  bool value_cut = false;                // `value` is a prefix
  std::string host;
  Direction direction = Direction::client_to_server;
  Location location = Location::header;
  Timestamp time;
  uint64_t packet = 0;
  ConnectionInfo connection;
  std::string file;                  // path of the recording
  std::vector<PacketBytes> packets;  // verified: these bytes of the file are the raw stream's
  bool packets_complete = false;     // they cover every byte of the spans below
  std::vector<StreamSpan> records;   // TLS records (or plain spans) in the raw stream
  std::vector<StreamSpan> pieces;    // spans in the plaintext stream
  std::string stream_bytes;          // of those pieces, concatenated
  std::vector<ReplayStep> steps;     // from stream_bytes on; the last output is the value
  bool verified = false;             // the last output is the field's value
  // A value that has no bytes of its own to replay: where it was read from ("the
  // recording's entry" for addresses that a HAR file names). Then verified is
  // false and packets, pieces and steps are empty.
  std::string recorded_from;
};

// One pass to find the field, one for its plaintext, one for the raw bytes and
// the steps, one over the packets. Errors: no field has this origin (usage).
Result<Replay> replay_origin(Input& input, const OriginRef& origin);

// Many in the same passes, each as the function above gives it, in the order
// asked for. Memory: what the replays hold; ask for some thousands at a time.
Result<std::vector<Result<Replay>>> replay_origins(Input& input, std::span<const OriginRef> origins);

}  // namespace vitrine
