#include "capture/record/recorder.h"

#include <fcntl.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "base/file.h"
#include "capture/record/pcapng_writer.h"
#include "capture/record/process_flows.h"
#include "capture/record/recording_file.h"

namespace vitrine {
namespace {

using Clock = std::chrono::steady_clock;

volatile sig_atomic_t g_stop = 0;  // a signal handler can reach nothing else
void on_signal(int) { g_stop = 1; }

// Ctrl-C ends the recording, not the program: the file is completed first.
class SignalGuard {
 public:
  SignalGuard() {
    g_stop = 0;
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, &old_int_);
    sigaction(SIGTERM, &action, &old_term_);
  }
  ~SignalGuard() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
  }

 private:
  struct sigaction old_int_ {
  }, old_term_{};
};

struct PcapClose {
  void operator()(pcap_t* handle) const { pcap_close(handle); }
};
using Pcap = std::unique_ptr<pcap_t, PcapClose>;

Error permission_error(const std::string& interface) {
  return {ErrorCode::unreadable,
          "no permission to record on '" + interface +
              "'. Run as root, or grant this program the capability once:\n"
              "  sudo setcap cap_net_raw,cap_net_admin+eip \"$(readlink -f \"$(command -v vitrine)\")\"\n"
              "Recordings made elsewhere (tcpdump, Wireshark, a browser's HAR export) can be audited without it.",
          ""};
}

Result<Pcap> open_live(const RecordOptions& options) {
  char text[PCAP_ERRBUF_SIZE] = {};
  Pcap handle(pcap_create(options.interface.c_str(), text));
  if (!handle) return fail(ErrorCode::unreadable, text, options.interface);
  pcap_set_snaplen(handle.get(), static_cast<int>(options.snap_length));
  pcap_set_promisc(handle.get(), 0);
  pcap_set_timeout(handle.get(), 10);
  pcap_set_buffer_size(handle.get(), static_cast<int>(std::min<uint64_t>(options.buffer_bytes, INT32_MAX)));
  pcap_set_tstamp_precision(handle.get(), PCAP_TSTAMP_PRECISION_NANO);
  const int status = pcap_activate(handle.get());
  if (status == PCAP_ERROR_PERM_DENIED) return tl::unexpected(permission_error(options.interface));
  if (status < 0) {
    std::string message = pcap_geterr(handle.get());
    if (message.empty()) message = pcap_statustostr(status);
    return fail(ErrorCode::unreadable, message + ". `ip link` lists the interfaces; 'any' records all of them.",
                options.interface);
  }
  if (options.interface == "any") pcap_set_datalink(handle.get(), DLT_LINUX_SLL2);
  if (!options.filter.empty()) {
    bpf_program program{};
    if (pcap_compile(handle.get(), &program, options.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0 ||
        pcap_setfilter(handle.get(), &program) != 0) {
      return fail(ErrorCode::usage, pcap_geterr(handle.get()), "--filter");
    }
    pcap_freecode(&program);
  }
  pcap_setnonblock(handle.get(), 1, text);
  return handle;
}

// The command, in a process group of its own, with SSLKEYLOGFILE set.
Result<pid_t> start(const std::vector<std::string>& command, const std::string& key_log) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return fail(ErrorCode::internal, std::strerror(errno), "pipe");
  const pid_t child = fork();
  if (child < 0) return fail(ErrorCode::internal, std::strerror(errno), "fork");
  if (child == 0) {
    setenv("SSLKEYLOGFILE", key_log.c_str(), 1);
    execvp(argv[0], argv.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t n = write(failure[1], &error, sizeof error);
    _exit(127);
  }
  close(failure[1]);
  int error = 0;
  const ssize_t n = read(failure[0], &error, sizeof error);
  close(failure[0]);
  if (n == sizeof error) {
    waitpid(child, nullptr, 0);
    return fail(ErrorCode::usage, std::string("cannot start: ") + std::strerror(error), command[0]);
  }
  return child;
}

// A private folder for the key log, removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base && *base ? base : "/tmp") + "/vitrine-record-XXXXXX";
    ok_ = mkdtemp(path_.data()) != nullptr;
  }
  ~TemporaryFolder() {
    if (!ok_) return;
    unlink(key_log().c_str());
    rmdir(path_.c_str());
  }
  bool ok() const { return ok_; }
  std::string key_log() const { return path_ + "/keys.log"; }

 private:
  std::string path_;
  bool ok_ = false;
};

struct PacketWriter {
  std::FILE* file = nullptr;
  std::string block;
  RecordSummary* summary = nullptr;
  bool failed = false;
  bool syn_seen = false;

  static void handle(u_char* self, const pcap_pkthdr* header, const u_char* data) {
    auto& writer = *reinterpret_cast<PacketWriter*>(self);
    // Nanosecond precision was asked for: tv_usec holds nanoseconds.
    const Timestamp time{header->ts.tv_sec * 1'000'000'000 + header->ts.tv_usec};
    writer.block.clear();
    append_packet(writer.block, 0, time, {data, header->caplen}, header->len);
    if (std::fwrite(writer.block.data(), 1, writer.block.size(), writer.file) != writer.block.size())
      writer.failed = true;
    ++writer.summary->packets;
    writer.summary->bytes += header->caplen;
    writer.syn_seen = true;
  }
};

// LINKTYPE_ of the file format; libpcap's DLT_ values differ from it for raw IP.
uint16_t link_type(pcap_t* handle) {
  const int dlt = pcap_datalink(handle);
  return static_cast<uint16_t>(dlt == DLT_RAW ? 101 : dlt);
}

}  // namespace

Result<RecordSummary> record(const RecordOptions& options, const RecordProgress& progress) {
  Result<Pcap> handle = open_live(options);
  if (!handle) return tl::unexpected(handle.error());
  TemporaryFolder folder;
  if (!folder.ok()) return fail(ErrorCode::unreadable, std::strerror(errno), "temporary folder");
  RecordSummary summary;

  struct stat status {};
  if (stat(options.output.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
    return fail(ErrorCode::usage, "is a folder; name the file to write", options.output);
  RecordingFile file(options, link_type(handle->get()));
  if (!file.ok()) return fail(ErrorCode::unreadable, std::strerror(errno), options.output);
  PacketWriter writer;
  writer.file = file.packets();
  writer.summary = &summary;

  SignalGuard signals;
  pid_t child = 0;
  std::unique_ptr<ProcessFlows> flows;
  if (!options.command.empty()) {
    Result<pid_t> started = start(options.command, folder.key_log());
    if (!started) return tl::unexpected(started.error());
    child = *started;
    flows = std::make_unique<ProcessFlows>(child);
  }
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  double last_look = -1, last_progress = 0, ended_at = -1;
  while (!writer.failed) {
    writer.syn_seen = false;
    const int n = pcap_dispatch(handle->get(), 1024, PacketWriter::handle, reinterpret_cast<u_char*>(&writer));
    if (n < 0) break;
    const double at = elapsed();
    // A flow's process is looked up as soon as new packets come, and all the
    // time while the command is young: a short one is gone before the ring
    // hands over its first packet.
    if (flows && ended_at < 0 && at - last_look > (writer.syn_seen || at < 2 ? 0.002 : 0.05)) {
      flows->look();
      summary.flows = flows->size();
      last_look = elapsed();
    }
    if (child > 0 && ended_at < 0 && waitpid(child, &summary.command_status, WNOHANG) == child) ended_at = at;
    summary.seconds = at;
    if (progress && at - last_progress > 0.25) {
      last_progress = at;
      progress(summary);
    }
    if (g_stop || (options.seconds > 0 && at >= options.seconds)) break;
    if (ended_at >= 0 && at - ended_at >= options.linger_seconds) break;
    if (n == 0) usleep(2000);
  }
  if (child > 0 && ended_at < 0) {
    kill(child, SIGTERM);
    for (int i = 0; i < 50 && waitpid(child, &summary.command_status, WNOHANG) == 0; ++i) usleep(100'000);
  }
  pcap_stat statistics{};
  if (pcap_stats(handle->get(), &statistics) == 0) {
    summary.dropped_kernel = statistics.ps_drop;
    summary.dropped_interface = statistics.ps_ifdrop;
  }
  const std::string key_log = read_file(folder.key_log()).value_or("");
  for (size_t at = 0; (at = key_log.find('\n', at)) != std::string::npos; ++at) ++summary.secrets;
  std::vector<FlowComment> found;
  if (flows) found = flows->flows();
  summary.flows = found.size();
  if (const Status completed = file.complete(key_log, found, summary); !completed)
    return tl::unexpected(completed.error());
  return summary;
}

}  // namespace vitrine
