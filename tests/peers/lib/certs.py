"""A certificate authority for a test, by openssl."""
import os
import subprocess


class Authority:
    """.ca is its certificate; issue() makes what it signs."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "certs")
        os.makedirs(self.folder, exist_ok=True)
        self.ca, self.key = self.path("ca.pem"), self.path("ca.key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-subj", "/CN=tests", "-keyout", self.key, "-out", self.ca,
                     "-addext", "basicConstraints=critical,CA:TRUE")

    def path(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def issue(self, name, *alternative):
        """(certificate, key) for the subject alternative names, such as "IP:127.0.0.1"."""
        certificate, key, wish = (self.path(name + end) for end in (".pem", ".key", ".csr"))
        names = "subjectAltName=" + ",".join(alternative or ("IP:127.0.0.1", "DNS:localhost"))
        extensions = self.path(name + ".ext")
        with open(extensions, "w") as file:
            file.write(names + "\nbasicConstraints=CA:FALSE\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", "/CN=" + name, "-keyout", key, "-out", wish)
        self.openssl("x509", "-req", "-in", wish, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", "30",
                     "-extfile", extensions, "-out", certificate)
        return certificate, key
