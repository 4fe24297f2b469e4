"""From a raw recording to arrays that a decoder takes."""
