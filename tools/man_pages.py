"""Manual pages and a bash completion from what the program says of itself.

man_pages.py PROGRAM OUTPUT_FOLDER VERSION: writes vitrine.1, vitrine-COMMAND.1 for each command (and each command of a
command), and vitrine.bash.
"""
import os
import re
import subprocess
import sys

SECTIONS = {"Examples": "EXAMPLES", "Exit codes": "EXIT STATUS", "Guides": "SEE ALSO"}


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def help_of(program, command):
    return subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True,
                          env=dict(os.environ, LC_ALL="C.UTF-8", COLUMNS="400")).stdout


def split(text):
    """The description, the usage line, groups of (name, [(term, meaning)]), the footer."""
    lines = text.splitlines()
    usage = next(i for i, line in enumerate(lines) if line.startswith("Usage:"))
    groups, footer, rest = [], [], lines[usage + 1:]
    at = 0
    while at < len(rest):
        line = rest[at]
        if re.fullmatch(r"[A-Z][A-Za-z ]*:", line) and line not in ("Examples:",):
            groups.append((line[:-1], []))
        elif groups and line.startswith("  ") and not footer:
            term, meaning = (re.split(r"\s{2,}", line.strip(), maxsplit=1) + [""])[:2]
            if line.startswith("      ") and groups[-1][1]:
                last, words = groups[-1][1][-1]
                groups[-1][1][-1] = (last, (words + " " + line.strip()).strip())
            else:
                groups[-1][1].append((term, meaning))
        elif line.strip():
            footer += rest[at:]
            break
        at += 1
    return "\n".join(lines[:usage]).strip(), lines[usage][6:].strip(), groups, footer


def page(name, text, version):
    description, usage, groups, footer = split(text)
    summary = description.splitlines()[0].removeprefix("vitrine: ") if description else name
    out = [f'.TH {name.upper().replace("-", chr(92) + "-")} 1 "" "vitrine {version}" "User Commands"', ".SH NAME",
           f"{escape(name)} \\- {escape(summary)}", ".SH SYNOPSIS", f".B {escape(usage)}", ".SH DESCRIPTION"]
    out += [escape(line) for line in description.splitlines()]
    for group, rows in groups:
        out.append(f".SH {group.upper()}")
        for term, meaning in rows:
            out += [".TP", f".B {escape(term)}", escape(meaning)]
    verbatim = False
    for line in footer:
        heading = next((key for key in SECTIONS if line.startswith(key)), None)
        if heading:
            if verbatim:
                out.append(".EE")
                verbatim = False
            out.append(f".SH {SECTIONS[heading]}")
            line = line[len(heading):].lstrip(": ")
            if not line:
                continue
        if line.startswith("  ") and not verbatim:
            out.append(".EX")
            verbatim = True
        elif not line.startswith("  ") and verbatim:
            out.append(".EE")
            verbatim = False
        out.append(escape(line.strip() if not verbatim else line[2:]))
    if verbatim:
        out.append(".EE")
    return "\n".join(out) + "\n"


def main():
    program, folder, version = sys.argv[1:4]
    os.makedirs(folder, exist_ok=True)
    options = {}

    def visit(command):
        text = help_of(program, command)
        name = "-".join(["vitrine", *command])
        with open(os.path.join(folder, name + ".1"), "w") as file:
            file.write(page(name, text, version))
        groups = dict(split(text)[2])
        options[" ".join(command)] = re.findall(r"--[a-z][a-z0-9-]*", " ".join(term for term, _ in groups.get("Options", [])))
        for term, _ in groups.get("Subcommands", []):
            visit([*command, term])

    visit([])
    commands = sorted(name for name in options if name and " " not in name)
    with open(os.path.join(folder, "vitrine.bash"), "w") as file:
        file.write("# bash completion for vitrine\n_vitrine() {\n  local word=${COMP_WORDS[COMP_CWORD]} words\n  case ${COMP_WORDS[1]-} in\n")
        for name in commands:
            below = [other.split()[1] for other in options if other.startswith(name + " ")]
            file.write(f"    {name}) words='{' '.join(options[name] + below)}' ;;\n")
        file.write(f"    *) words='{' '.join(commands)} --help --version' ;;\n  esac\n")
        file.write("  [ \"$COMP_CWORD\" -eq 1 ] && words='" + " ".join(commands) + " --help --version'\n")
        file.write("  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n  case $word in -*) ;; *) [ \"$COMP_CWORD\" -gt 1 ] && "
                   "COMPREPLY+=($(compgen -f -- \"$word\")) ;; esac\n}\ncomplete -o filenames -F _vitrine vitrine\n")


if __name__ == "__main__":
    main()
