// Records a real client against a real server on the loopback interface.
#include "capture/record/recorder.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/capture/pipeline/run_input.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    path_ = testing::TempDir() + "vitrine-recorder-XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

uint16_t free_port() {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length), 0);
  close(descriptor);
  return ntohs(address.sin_port);
}

bool accepts(uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool connected = connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(descriptor);
  return connected;
}

// `openssl s_server -HTTP` in a folder; ends with the object.
class Server {
 public:
  Server(const Folder& folder, uint16_t port) {
    const std::string text = std::to_string(port);
    child_ = fork();
    if (child_ == 0) {
      if (chdir(folder.path().c_str()) != 0 || freopen("/dev/null", "r+", stdout) == nullptr ||
          freopen("/dev/null", "r+", stderr) == nullptr)
        _exit(1);
      execlp("openssl", "openssl", "s_server", "-accept", text.c_str(), "-cert", "c.pem", "-key", "k.pem", "-HTTP",
             nullptr);
      _exit(127);
    }
    for (int i = 0; i < 200 && !(up = accepts(port)); ++i) usleep(50'000);
  }
  ~Server() {
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
  }
  bool up = false;

 private:
  pid_t child_;
};

bool installed(const std::string& tool) {
  return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
}

TEST(Recorder, RecordsACommandWithItsSecretsAndProcesses) {
  if (!installed("openssl") || !installed("curl")) GTEST_SKIP() << "needs openssl and curl";
  Folder folder;
  ASSERT_EQ(
      std::system(("cd '" + folder.path() +
                   "' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem "
                   "-days 2 -subj /CN=recorder.test >/dev/null 2>&1")
                      .c_str()),
      0);
  // The transfer takes about two seconds: processes are looked up by polling,
  // and a flow of a few milliseconds may go by unseen on a busy machine.
  const std::string body = "recorded" + std::string(160'000, '.');
  ASSERT_TRUE(write_file(folder.file("page"), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                                                  std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
                                                  body));
  const uint16_t port = free_port();
  Server server(folder, port);
  ASSERT_TRUE(server.up);
  RecordOptions options;
  options.interface = "lo";
  options.filter = "tcp port " + std::to_string(port);
  options.output = folder.file("out.pcapng");
  options.seconds = 30;
  options.linger_seconds = 0.5;
  options.buffer_bytes = 4 << 20;
  options.comments = {"SIMULATED: recorder test"};
  options.command = {"curl",
                     "-sS",
                     "-k",
                     "--http1.1",
                     "--noproxy",
                     "*",
                     "-o",
                     "/dev/null",
                     "--limit-rate",
                     "30k",
                     "--connect-to",
                     "recorder.test:443:127.0.0.1:" + std::to_string(port),
                     "https://recorder.test/page"};
  const Result<RecordSummary> summary = record(options, {});
  if (!summary && summary.error().message.find("setcap") != std::string::npos) {
    GTEST_SKIP() << "capturing needs CAP_NET_RAW; the error says what to grant";
  }
  ASSERT_TRUE(summary) << summary.error().to_string();
  EXPECT_TRUE(WIFEXITED(summary->command_status));
  EXPECT_EQ(WEXITSTATUS(summary->command_status), 0);
  EXPECT_GT(summary->packets, 8u);
  EXPECT_GE(summary->secrets, 4u);  // TLS 1.3: two handshake, two traffic secrets
  EXPECT_EQ(summary->dropped_kernel, 0u);
  struct stat status {};
  ASSERT_EQ(stat(options.output.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_FALSE(fs::exists(options.output + ".partial"));

  const RunResult run = run_input(options.output);
  EXPECT_TRUE(run.summary.simulated());
  EXPECT_EQ(run.summary.packets, summary->packets);
  EXPECT_GE(run.summary.secrets, 4u);
  EXPECT_NE(run.text.find(" GET https://recorder.test/page"), std::string::npos) << run.text;
  EXPECT_NE(run.text.find("\n  recorded"), std::string::npos);
  size_t named = 0;
  std::string process;
  for (const auto& [id, bytes] : run.connections) {
    if (bytes.sni != "recorder.test") continue;
    process = bytes.process;
    EXPECT_EQ(bytes.counts[0][Cause::no_key] + bytes.counts[1][Cause::no_key], 0u);
    ++named;
  }
  EXPECT_EQ(named, 1u);
  // Processes are found by polling (process_flows.h): on a loaded machine a flow
  // of a few milliseconds can be missed, and then it must stay unnamed.
  for (int attempt = 0; attempt < 10 && process.empty(); ++attempt) {
    ASSERT_TRUE(record(options, {}));
    const RunResult again = run_input(options.output);
    for (const auto& [id, bytes] : again.connections) {
      if (bytes.sni == "recorder.test") process = bytes.process;
    }
  }
  EXPECT_EQ(process, "curl");
}

// A full disk, as a bound on the size of files: what was recorded until then is kept.
TEST(Recorder, KeepsWhatTheDiskHadRoomFor) {
  if (!installed("python3")) GTEST_SKIP() << "needs python3";
  Folder folder;
  const uint16_t port = free_port();
  RecordOptions options;
  options.interface = "lo";
  options.filter = "udp port " + std::to_string(port);
  options.output = folder.file("out.pcapng");
  options.seconds = 30;
  options.linger_seconds = 0.2;
  options.buffer_bytes = 16 << 20;
  // 6 MB, in packets that nobody answers; and a key log.
  options.command = {"python3", "-c",
                     "import os,socket\n"
                     "open(os.environ['SSLKEYLOGFILE'],'w').write('CLIENT_RANDOM '+'ab'*32+' '+'cd'*48+'\\n')\n"
                     "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                     "for i in range(6000):\n"
                     "  try: s.sendto(b'x'*1000,('127.0.0.1'," +
                         std::to_string(port) +
                         "))\n"
                         "  except OSError: pass\n"};
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 2 << 20;
  const auto old = signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result<RecordSummary> summary = record(options, {});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, old);
  if (!summary && summary.error().message.find("setcap") != std::string::npos)
    GTEST_SKIP() << "capturing needs CAP_NET_RAW";
  ASSERT_TRUE(summary) << summary.error().to_string();
  EXPECT_TRUE(summary->disk_full);
  EXPECT_GT(summary->packets, 500u);
  EXPECT_FALSE(fs::exists(options.output + ".partial"));
  EXPECT_LE(fs::file_size(options.output), 2u << 20);
  const RunResult run = run_input(options.output);
  EXPECT_EQ(run.summary.packets, summary->packets);
  EXPECT_EQ(run.summary.secrets, 1u);
}

TEST(Recorder, SaysWhatIsWrong) {
  Folder folder;
  RecordOptions options;
  options.interface = "no-such-if0";
  options.output = folder.file("out.pcapng");
  options.seconds = 1;
  Result<RecordSummary> summary = record(options, {});
  ASSERT_FALSE(summary);
  EXPECT_FALSE(summary.error().message.empty());
  EXPECT_FALSE(fs::exists(options.output));

  options.interface = "lo";
  options.output = folder.path();
  summary = record(options, {});
  ASSERT_FALSE(summary);
  if (summary.error().message.find("setcap") != std::string::npos) GTEST_SKIP() << "capturing needs CAP_NET_RAW";
  EXPECT_EQ(summary.error().code, ErrorCode::usage);
  options.output = folder.file("none/out.pcapng");
  summary = record(options, {});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().where, options.output);

  options.output = folder.file("out.pcapng");
  options.command = {"/no/such/program"};
  summary = record(options, {});
  ASSERT_FALSE(summary);
  if (summary.error().message.find("setcap") != std::string::npos) GTEST_SKIP() << "capturing needs CAP_NET_RAW";
  EXPECT_EQ(summary.error().code, ErrorCode::usage);
  EXPECT_NE(summary.error().to_string().find("/no/such/program"), std::string::npos);
  EXPECT_FALSE(fs::exists(options.output));
  EXPECT_FALSE(fs::exists(options.output + ".partial"));

  options.command.clear();
  options.filter = "this is no filter";
  summary = record(options, {});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::usage);
}

}  // namespace
}  // namespace vitrine
