# Writes ${OUTPUT}: ${FUNCTION}(), the content of each of ${FILES} under its path
# relative to ${FOLDER}. Called by vitrine_embed().
set(code "#include <span>\n\n#include \"base/embedded_file.h\"\n\nnamespace vitrine {\n\nstd::span<const EmbeddedFile> ${FUNCTION}();\n\nnamespace {\n\nconstexpr EmbeddedFile kFiles[] = {\n")
foreach(file ${FILES})
  file(READ ${file} content)
  file(RELATIVE_PATH name ${FOLDER} ${file})
  string(APPEND code "    {\"${name}\", R\"embedded(${content})embedded\"},\n")
endforeach()
string(APPEND code "};\n\n}  // namespace\n\nstd::span<const EmbeddedFile> ${FUNCTION}() { return kFiles; }\n\n}  // namespace vitrine\n")
file(WRITE ${OUTPUT} "${code}")
