#!/usr/bin/env python3
"""Takes the lists of models out of a wheel of xinference, and removes the wheel.

    unpack_templates.py WHEEL FOLDER
"""

import os
import sys
import zipfile

wheel, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith("xinference/model/llm/models/") and name.endswith(".json"):
            with open(os.path.join(folder, os.path.basename(name)), "wb") as file:
                file.write(archive.read(name))
os.remove(wheel)
