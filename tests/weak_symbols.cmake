# Fails if an object file compiled for one instruction set defines a weak symbol that does not belong
# to that set's namespace. The linker keeps one of several weak definitions, from whichever file it
# meets first: std::max<float> compiled for AVX-512 could become everybody's. Two helpers that the
# compilers add themselves pass, they hold no vector code: DW.ref.* (pointers) and clang's call of
# std::terminate where an exception would leave a noexcept function.
#   cmake -DNM=nm -DSET=avx2 -DOBJECTS=list.txt -P weak_symbols.cmake
file(STRINGS ${OBJECTS} objects)
set(bad "")
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} --demangle --defined-only ${object} OUTPUT_VARIABLE symbols RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "${NM} failed on ${object}")
  endif()
  string(REPLACE ";" "," symbols "${symbols}")
  string(REPLACE "[" "(" symbols "${symbols}")
  string(REPLACE "]" ")" symbols "${symbols}")
  string(REPLACE "\n" ";" symbols "${symbols}")
  cmake_path(GET object FILENAME file)
  foreach(symbol IN LISTS symbols)
    if(symbol MATCHES "^[0-9a-f]+ [WVu] (.*)$")
      set(name "${CMAKE_MATCH_1}")
      if(NOT name MATCHES "sspo::cpu::${SET}::" AND NOT name MATCHES "^(DW\\.ref\\..*|__clang_call_terminate)$")
        string(APPEND bad "  ${file}: ${name}\n")
      endif()
    endif()
  endforeach()
endforeach()
if(bad)
  message(FATAL_ERROR "weak symbols outside sspo::cpu::${SET}:\n${bad}"
                      "Call a function of that namespace instead, or move the code out of src/cpu/isa.")
endif()
